//! The network agent: one NIC, its address, routes, names and resolvers.
//!
//! `nic` chooses the NIC, `lease` is what counts of a DHCP lease, `plan` says what the NIC should
//! have, `etc` what stands in /etc; these are pure. `observe` looks at the NICs, `apply` talks to
//! the kernel, `task` puts them together with the DHCP client and stays to renew and repair.

mod apply;
mod etc;
pub mod lease;
mod nic;
mod observe;
pub mod plan;
mod task;

pub use apply::LinkError;
pub use task::{NetworkAgentError, run};
