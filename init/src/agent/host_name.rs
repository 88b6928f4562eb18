//! The host-name agent: gives the kernel the machine's name, once per boot.
//!
//! A process of its own, since the call needs a capability that the network agent, which listens to
//! strangers, must not have.

use std::io;

use super::machine::{self, MachineError};

/// Why the machine has no name.
#[derive(Debug, thiserror::Error)]
pub enum HostNameError {
    /// No config.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The kernel refused.
    #[error("setting the host name")]
    Set(#[source] io::Error),
}

/// Sets it.
///
/// # Errors
/// [`HostNameError`].
pub fn run() -> Result<(), HostNameError> {
    let config = machine::load_plain()?;
    node_sys::host::set_hostname(config.header.machine.as_str()).map_err(HostNameError::Set)
}
