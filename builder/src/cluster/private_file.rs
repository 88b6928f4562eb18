//! Files that only their owner may read.
//!
//! Written whole or not at all: a temporary file made 0600 beside the target, then a
//! rename, so no moment shows a secret to others or half a file to anybody.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// 0600.
    Owner,
    /// 0644.
    Everybody,
}

/// Makes a directory that only its owner may enter, and its parents.
///
/// # Errors
/// It can't be made, or not be closed to others.
pub fn make_directory(path: &Path) -> Result<()> {
    let attempt = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    attempt().with_context(|| format!("making {}", path.display()))
}

/// Writes `bytes` to `path`, replacing what is there.
///
/// # Errors
/// Any step, with the path.
pub fn write(path: &Path, bytes: &[u8], readers: Readers) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        let mode = match readers {
            Readers::Owner => 0o600,
            Readers::Everybody => 0o644,
        };
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    attempt().with_context(|| format!("writing {}", path.display()))
}
