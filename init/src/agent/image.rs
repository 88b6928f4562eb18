//! What the image says of itself: its role, its version, and when it was built.
//!
//! Written by `slipway build` as /usr/share/slipway/image.toml; read here, never written. Agents only: what PID 1
//! says of its image lies beside it as it says it (`boot::label`).

use std::path::Path;

use jiff::Timestamp;
use machine_config::Role;
use serde::Deserialize;

use super::files::{self, FileError};

/// More than the file ever is.
const SIZE_MAX: u64 = 16 * 1024;

/// The image's own description.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// What its machines are for.
    pub role: Role,
    /// Its version.
    pub version: String,
    /// No clock of a machine that runs it can be earlier.
    pub built: Timestamp,
}

/// Why the image does not describe itself.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not what it should be.
    #[error("reading {path}: {source}")]
    Parse {
        /// The file.
        path: String,
        /// Line and column.
        source: toml::de::Error,
    },
}

impl Image {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn load(path: &Path) -> Result<Self, ImageError> {
        let text = files::read_text(path, SIZE_MAX)?;
        toml::from_str(&text).map_err(|source| ImageError::Parse { path: path.display().to_string(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_knows_its_role_and_when_it_was_built() {
        let image: Image = toml::from_str(
            "role = \"control-plane\"\nversion = \"0.1.0\"\nbuilt = \"2026-11-01T00:00:00Z\"\n",
        )
        .unwrap();
        assert_eq!(image.role, Role::ControlPlane);
        assert_eq!(image.built, "2026-11-01T00:00:00Z".parse().unwrap());
    }
}
