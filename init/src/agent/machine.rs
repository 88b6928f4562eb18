//! The accepted machine config, as the config agent left it for the others.
//!
//! It was verified before it was written, and the file is root's alone; it is parsed here
//! without another look at its signature.

use std::path::Path;

use machine_config::MachineConfig;
use machine_config::machine::ParseError;

use super::files::{self, FileError};
use super::paths;

/// More than the envelope may have.
const SIZE_MAX: u64 = 256 * 1024;

/// Why there is no config to read.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Not there.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a config.
    #[error("reading {}: {source}", paths::MACHINE)]
    Parse {
        /// Why.
        source: ParseError,
    },
}

/// Reads it.
///
/// # Errors
/// [`MachineError`].
pub fn load() -> Result<MachineConfig, MachineError> {
    let text = files::read_text(Path::new(paths::MACHINE), SIZE_MAX)?;
    MachineConfig::parse(&text).map_err(|source| MachineError::Parse { source })
}
