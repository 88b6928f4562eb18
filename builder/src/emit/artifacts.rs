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

/// What every machine's kernel is told.
///
/// A panic (a flipped byte is one) reboots after ten seconds: time to read the console.
///
/// A mebibyte keeps its place and its content over a warm reboot: there the kernel writes its log when it panics,
/// and when it ends in order, so that the next boot can tell why (`init agent past`). The place is a fixed one, since
/// the next kernel, which is put anywhere (KASLR), keeps off what `memmap=` takes out of the memory, and off nothing
/// else: of `reserve_mem=`, which looks for a place itself, it does not know before it is where it is, and then that
/// place may be another. 96 MiB is memory on every machine that runs us, above what a kernel is unpacked over (16 MiB
/// and its `init_size`) and where UEFI works early on, and below what loaders fill from the top. It is `!` (protected)
/// and not `$` (reserved), because GRUB takes a `$` for a variable, and `1M` without its place is all the memory that
/// a machine has. What nobody can promise is firmware that clears memory at a reset.
const CMDLINE: &str = include_str!("cmdline.txt").trim_ascii_end();

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
            cmdline: format!("slipway.root={} {CMDLINE}", slot.root),
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

    fn said(word: &str) -> &str {
        let mut said = CMDLINE.split(' ').filter_map(|said| said.strip_prefix(word)?.strip_prefix('='));
        let value = said.next().unwrap_or_else(|| panic!("{word} is not said"));
        assert_eq!(said.next(), None, "{word} is said twice");
        value
    }

    fn hex(text: &str) -> u64 {
        u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
    }

    #[test]
    fn last_words_lie_where_no_kernel_is_put_and_nothing_else_is() {
        let (size, place) = said("memmap").split_once('!').unwrap();
        assert_eq!((size, hex(place)), ("1M", hex(said("ramoops.mem_address"))));
        assert_eq!(hex(said("ramoops.mem_size")), 1 << 20);
        assert!(hex(place) >= 64 << 20, "a kernel is unpacked below");
        assert!(hex(place) < 128 << 20, "the smallest machine has no more, and an initramfs in it");
        for word in ["nokaslr", "reserve_mem", "mem_name", "$"] {
            assert!(!CMDLINE.contains(word), "{word}");
        }
    }

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
