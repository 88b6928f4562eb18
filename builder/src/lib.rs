//! The library behind the `slipway` command: from profiles to images, clusters and labs.
//!
//! Five steps with a digest on every edge: `lock` (the only one that asks the network what there
//! is), `store` (what the lock names, by digest), `build` (one component to a sorted manifest of
//! files), `compose` (the components of a role to one root) and `emit` (a root to artifacts).
//! `cluster` makes keys and signed machine configs. Terminal, environment and working directory
//! are the business of `cmd` alone.

pub mod build;
pub mod cluster;
pub mod cmd;
pub mod compose;
pub mod deb;
pub mod emit;
pub mod gomod;
pub mod inspect;
pub mod lock;
pub mod mirror;
pub mod node;
pub mod profile;
pub mod progress;
pub mod recipe;
pub mod sandbox;
pub mod sbom;
pub mod size;
pub mod store;
mod sys;

pub use sys::die_of_broken_pipe;
