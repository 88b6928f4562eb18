//! What the machine config decides about a service: arguments and environment, added at boot.
//!
//! The image says what a service is, an agent what it is called with in this cluster: it writes
//! one file per service, which PID 1 reads whenever it starts the service. Binary like the
//! table, so that no argument needs quoting and nothing is parsed from text.

use serde::{Deserialize, Serialize};

use super::table::{TableError, whole};

/// The longest overlay, in bytes: a thousand flags.
pub const OVERLAY_MAX: u64 = 64 * 1024;

/// What is added to a service at boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// More arguments, after the spec's own.
    pub arguments: Vec<String>,
    /// More environment, `NAME=VALUE` each.
    pub environment: Vec<String>,
}

impl Overlay {
    /// As a file holds it.
    ///
    /// # Errors
    /// None that an overlay in memory can cause.
    pub fn encode(&self) -> Result<Vec<u8>, TableError> {
        postcard::to_allocvec(self).map_err(TableError::Encoding)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`TableError::Encoding`], [`TableError::Rest`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        whole(bytes)
    }
}
