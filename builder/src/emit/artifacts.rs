//! artifacts.json: what belongs together and how a machine is started with it.
//!
//! Paths are relative to the file's own directory, so a directory of artifacts can be moved. The
//! lab reads it, and whoever boots the image by other means.

use image_format::Digest;
use serde::{Deserialize, Serialize};

use super::Slot;

/// The file's name.
pub const FILE: &str = "artifacts.json";

/// The index of a role's artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Artifacts {
    /// The role.
    pub role: String,
    /// The image's version.
    pub version: String,
    /// The slot's verity root hash.
    pub root_hash: Digest,
    /// Where in the slot the verity superblock lies.
    pub hash_offset: u64,
    /// The slot image.
    pub slot: String,
    /// The initramfs.
    pub initramfs: String,
    /// Kernels by what they run on.
    pub kernel: Kernels,
    /// What the kernel command line must hold; a console is the booter's to add.
    pub cmdline: String,
}

/// Kernels of the same release of the profiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernels {
    /// For PCs, real and virtual.
    pub x86_64: String,
    /// For User-mode Linux.
    pub um: String,
}

/// A mebibyte that keeps its place and its content over a warm reboot: there the kernel writes its log when it
/// panics, and when it ends in order, so that the next boot can tell why (`init agent past`).
const LAST_WORDS: &str = include_str!("last-words.txt").trim_ascii_end();

impl Artifacts {
    /// The index of `slot`, with kernels in a directory beside the role's own.
    #[must_use]
    pub fn of(role: &str, version: &str, slot: &Slot) -> Self {
        Self {
            role: role.to_owned(),
            version: version.to_owned(),
            root_hash: slot.root,
            hash_offset: slot.hash_offset,
            slot: "slot.img".to_owned(),
            initramfs: super::initramfs::FILE.to_owned(),
            kernel: Kernels { x86_64: "../kernel/vmlinuz".to_owned(), um: "../kernel/linux-um".to_owned() },
            // A panic (a flipped byte is one) reboots after ten seconds: time to read the console.
            cmdline: format!("slipway.root={} panic=10 loglevel=4 {LAST_WORDS}", slot.root),
        }
    }

    /// The file's text.
    ///
    /// # Errors
    /// None that its types allow.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// It is not of this form.
    pub fn from_json(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_reads_back_and_its_keys_are_the_labs() {
        let slot = Slot { root: Digest::of(b"root"), hash_offset: 4096, size: 8192 };
        let artifacts = Artifacts::of("worker", "1", &slot);
        let text = artifacts.to_json().unwrap();
        assert_eq!(Artifacts::from_json(text.as_bytes()).unwrap(), artifacts);
        for key in ["\"root-hash\"", "\"hash-offset\"", "\"x86-64\"", "\"cmdline\""] {
            assert!(text.contains(key), "{key} in {text}");
        }
    }
}
