//! The cluster agent: what a new cluster needs before the first person arrives.
//!
//! It runs on control planes. `objects` says what must exist in the API, `approval` which
//! nodes get which certificates, `labels` how nodes are marked; these are pure.
//! `client` speaks HTTP, `task` does it all again and again, since every step is one that
//! changes nothing when it is done already.

mod approval;
mod client;
mod labels;
mod objects;
mod task;

pub use client::ApiError;
pub use task::{ClusterAgentError, run};
