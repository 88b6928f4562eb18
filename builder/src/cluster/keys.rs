//! Where config-signing keys lie, and reading them.
//!
//! A key directory holds `config.key` (0600, minisign's format, perhaps with a passphrase)
//! and `config.pub`, which goes into images. The directory is the operator's, outside any
//! repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use trust::envelope::PublicKey;
use trust::signing::SigningKey;

/// The environment variable that holds a key's passphrase, for machines that sign.
pub const PASSPHRASE_VARIABLE: &str = "SLIPWAY_PASSPHRASE";

/// `~/.config/slipway/keys`, or below `XDG_CONFIG_HOME`.
///
/// # Errors
/// There is no home directory to put it in.
pub fn default_directory() -> Result<PathBuf> {
    std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
        .map(|config| config.join("slipway/keys"))
        .context("finding the key directory: neither XDG_CONFIG_HOME nor HOME is set; name a directory")
}

/// The secret key's file in a key directory.
#[must_use]
pub fn secret_path(directory: &Path) -> PathBuf {
    directory.join("config.key")
}

/// The public key's file in a key directory.
#[must_use]
pub fn public_path(directory: &Path) -> PathBuf {
    directory.join("config.pub")
}

/// Reads a signing key; a passphrase comes from the environment.
///
/// # Errors
/// The file can't be read, is no key, or wants another passphrase.
pub fn load_signing_key(path: &Path) -> Result<SigningKey> {
    let text = fs::read_to_string(path).with_context(|| {
        format!("reading the signing key {} (make one with: slipway keys new)", path.display())
    })?;
    SigningKey::open(&text, || std::env::var(PASSPHRASE_VARIABLE).ok())
        .with_context(|| format!("reading {}", path.display()))
}

/// Reads a public key.
///
/// # Errors
/// The file can't be read or is no key.
pub fn load_public_key(path: &Path) -> Result<PublicKey> {
    let text =
        fs::read_to_string(path).with_context(|| format!("reading the public key {}", path.display()))?;
    PublicKey::parse(&text).with_context(|| format!("reading {}", path.display()))
}
