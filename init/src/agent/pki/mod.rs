//! The pki agent: everything that a role's services read, made from the machine config.
//!
//! `render` turns a config into files, directories and wanted certificates; `leaf` decides
//! which certificates must be minted anew, `identity` whether a node can join, `member`
//! whether etcd may start, `shown` what all may see of the kubelet's; these are pure.
//! `store` keeps what was minted over a reboot, `task` writes everything, tells PID 1, and
//! stays to renew.

mod identity;
mod leaf;
mod member;
mod render;
mod shown;
mod store;
mod task;

pub use leaf::Issuer;
pub use store::StoreError;
pub use task::{PkiAgentError, run};
