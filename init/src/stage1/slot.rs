//! Knowing a slot when reading one.
//!
//! A slot is an erofs image with a verity superblock and hash tree right behind it. It is
//! the wanted one if the tree's top block hashes to the wanted root hash; no label or
//! table of contents is believed. Pure over anything that can be read and sought.

use std::io::{self, Read, Seek, SeekFrom};

use image_format::Digest;
use image_format::erofs::{self, SUPERBLOCK_OFFSET};
use image_format::verity::{BLOCK_LEN, SUPERBLOCK_LEN, Superblock};

/// The word on the kernel command line that names the root hash.
const ROOT_WORD: &str = "slipway.root=";

/// Why the command line names no root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoot {
    /// The word is missing.
    #[error("the kernel command line has no {ROOT_WORD}HASH")]
    Missing,
    /// It is there, but is no hash.
    #[error("{ROOT_WORD} on the kernel command line: {0:?} is not 64 hex digits")]
    NotAHash(String),
}

/// The root hash that a kernel command line names.
///
/// # Errors
/// [`NoRoot`].
pub fn wanted(command_line: &str) -> Result<Digest, NoRoot> {
    let text = command_line
        .split_whitespace()
        .find_map(|word| word.strip_prefix(ROOT_WORD))
        .ok_or(NoRoot::Missing)?;
    text.parse().map_err(|_| NoRoot::NotAHash(text.to_owned()))
}

/// Reads whether `device` holds the slot with the hash `root`; gives its verity superblock then.
///
/// # Errors
/// Reading itself; a device that holds something else, or is too short, holds no slot.
pub fn find(device: &mut (impl Read + Seek), root: &Digest) -> io::Result<Option<Superblock>> {
    let Some(head) = read_at::<{ erofs::SUPERBLOCK_LEN }>(device, SUPERBLOCK_OFFSET)? else {
        return Ok(None);
    };
    let Ok(image) = erofs::Superblock::parse(&head) else { return Ok(None) };
    let hash_offset = image.image_len();
    let Some(bytes) = read_at::<SUPERBLOCK_LEN>(device, hash_offset)? else { return Ok(None) };
    let Ok(superblock) = Superblock::parse(&bytes) else { return Ok(None) };
    if superblock.data_len() != hash_offset {
        return Ok(None);
    }
    let Some(top) = read_at::<BLOCK_LEN>(device, superblock.top_block_offset(hash_offset))? else {
        return Ok(None);
    };
    Ok((Digest::salted(&superblock.salt, &top) == *root).then_some(superblock))
}

/// `N` bytes at `offset`; none when the device ends before.
fn read_at<const N: usize>(device: &mut (impl Read + Seek), offset: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    device.seek(SeekFrom::Start(offset))?;
    match device.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_root_hash_is_found_among_other_words() {
        let hash = "ab".repeat(32);
        assert_eq!(wanted(&format!("quiet slipway.root={hash} panic=10\n")).unwrap().to_string(), hash);
        assert_eq!(wanted("quiet panic=10"), Err(NoRoot::Missing));
        assert_eq!(wanted("slipway.root=12"), Err(NoRoot::NotAHash("12".to_owned())));
    }

    #[test]
    fn a_device_of_something_else_holds_no_slot() {
        let root = Digest::of(b"");
        for length in [0, 512, 2048, 1 << 20] {
            assert_eq!(find(&mut Cursor::new(vec![0; length]), &root).unwrap(), None);
            assert_eq!(find(&mut Cursor::new(vec![0xff; length]), &root).unwrap(), None);
        }
    }
}
