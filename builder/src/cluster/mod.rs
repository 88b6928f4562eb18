//! A cluster as its operator describes it, and what is made from that.
//!
//! `plan` is the operator's short TOML, checked; `secrets` the CAs, keys and tokens made
//! once per cluster; `issue` the machine configs, one per machine, holding only what its
//! role needs; `admin` the operator's own kubeconfig; `node_api` the certificates of the machines' own API. Pure but
//! for the randomness in `secrets`; `cmd::cluster` reads and writes the files.

pub mod admin;
pub mod issue;
pub mod keys;
pub mod node_api;
pub mod plan;
pub mod private_file;
pub mod secrets;

pub use plan::Plan;
pub use secrets::Secrets;
