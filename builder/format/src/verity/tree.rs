//! The hash tree: computed while the data streams by, and checked the same way.
//!
//! [`TreeWriter`] takes data in any pieces and keeps one digest per block (8 KiB for each MiB),
//! so a slot of hundreds of megabytes needs a few megabytes of memory. [`verify`] computes the
//! tree again and names the first data block that does not match.

use std::io::{self, Read, Write};

use super::{BLOCK_LEN, Superblock, VerityError};
use crate::Digest;

/// The root hash that `top_block`, the tree's first block, has under `superblock`'s salt.
#[must_use]
pub fn root_hash_of(superblock: &Superblock, top_block: &[u8; BLOCK_LEN]) -> Digest {
    Digest::salted(&superblock.salt, top_block)
}

/// A finished tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Describes it.
    pub superblock: Superblock,
    /// The standard verity root hash.
    pub root: Digest,
    /// The tree's blocks, top first: what follows the superblock's block.
    pub blocks: Vec<u8>,
}

impl Tree {
    /// Writes what belongs behind the data: the superblock's block and the tree.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_to(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.superblock.to_block())?;
        to.write_all(&self.blocks)
    }
}

/// Takes the data and keeps a digest of each of its blocks.
#[derive(Debug)]
pub struct TreeWriter {
    salt: Vec<u8>,
    partial: Vec<u8>,
    digests: Vec<Digest>,
}

impl TreeWriter {
    /// A writer that hashes with `salt`.
    #[must_use]
    pub fn new(salt: &[u8]) -> Self {
        Self { salt: salt.to_vec(), partial: Vec::with_capacity(BLOCK_LEN), digests: Vec::new() }
    }

    /// The tree over everything written. Data that does not end with a block is as if padded
    /// with zeros; the caller writes that padding to the file too.
    ///
    /// # Errors
    /// [`VerityError`] when there are too few blocks for a tree, or too much salt.
    pub fn finish(mut self, uuid: [u8; 16]) -> Result<Tree, VerityError> {
        if !self.partial.is_empty() {
            self.partial.resize(BLOCK_LEN, 0);
            self.digests.push(Digest::salted(&self.salt, &self.partial));
        }
        let data_blocks = self.digests.len() as u64;
        let superblock = Superblock { uuid, data_blocks, salt: self.salt }.checked()?;
        let mut levels: Vec<Vec<u8>> = Vec::new();
        let mut below = self.digests;
        while below.len() > 1 {
            let level = pack(&below);
            below = level.chunks(BLOCK_LEN).map(|block| Digest::salted(&superblock.salt, block)).collect();
            levels.push(level);
        }
        let root = below.first().copied().ok_or(VerityError::DataBlocks(data_blocks))?;
        levels.reverse();
        Ok(Tree { superblock, root, blocks: levels.concat() })
    }
}

impl Write for TreeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.partial.is_empty() && rest.len() >= BLOCK_LEN {
                let (block, after) = rest.split_at(BLOCK_LEN);
                self.digests.push(Digest::salted(&self.salt, block));
                rest = after;
                continue;
            }
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_LEN - self.partial.len()));
            self.partial.extend_from_slice(piece);
            if self.partial.len() == BLOCK_LEN {
                self.digests.push(Digest::salted(&self.salt, &self.partial));
                self.partial.clear();
            }
            rest = after;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Digests side by side, the last block padded with zeros.
fn pack(digests: &[Digest]) -> Vec<u8> {
    let mut level: Vec<u8> = digests.iter().flat_map(|digest| *digest.as_bytes()).collect();
    level.resize(level.len().next_multiple_of(BLOCK_LEN), 0);
    level
}

/// How data and tree disagree.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// Reading the data or the tree.
    #[error("reading the image")]
    Io(#[from] io::Error),
    /// A block that its digest does not cover.
    #[error("data block {0} does not match the hash tree")]
    Data(u64),
    /// The tree does not follow from its own lowest level.
    #[error("the hash tree is altered at block {0} of the tree")]
    Tree(usize),
    /// Everything matches, but it is another image.
    #[error("the root hash is {found}, not {expected}")]
    Root {
        /// As computed.
        found: Digest,
        /// As asked for.
        expected: Digest,
    },
    /// There is no such tree.
    #[error(transparent)]
    Superblock(#[from] VerityError),
}

/// Checks `data` against `tree` (the bytes behind the superblock's block) and the root.
///
/// # Errors
/// [`Mismatch`] names the first block that does not fit.
pub fn verify(
    superblock: &Superblock,
    root: &Digest,
    data: &mut impl Read,
    tree: &mut impl Read,
) -> Result<(), Mismatch> {
    let mut writer = TreeWriter::new(&superblock.salt);
    let mut buffer = vec![0; 64 * BLOCK_LEN];
    let mut left = superblock.data_len();
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(piece) = buffer.get_mut(..len) else { break };
        data.read_exact(piece)?;
        writer.write_all(piece)?;
        left -= len as u64;
    }
    let computed = writer.finish(superblock.uuid)?;
    let mut stored = vec![0; computed.blocks.len()];
    tree.read_exact(&mut stored)?;
    if let Some(at) = computed.blocks.iter().zip(&stored).position(|(a, b)| a != b) {
        // The lowest level is last: a difference there is the data's, unless the levels above
        // disagree with what is stored below them.
        let stored_root = Digest::salted(&superblock.salt, stored.get(..BLOCK_LEN).unwrap_or_default());
        let lowest = computed.blocks.len() - pack_len(superblock.data_blocks);
        if stored_root == *root
            && let Some(at) = differs_from(&computed.blocks, &stored, lowest)
        {
            return Err(Mismatch::Data((at - lowest) as u64 / 32));
        }
        return Err(Mismatch::Tree(at / BLOCK_LEN));
    }
    if computed.root == *root {
        Ok(())
    } else {
        Err(Mismatch::Root { found: computed.root, expected: *root })
    }
}

fn pack_len(data_blocks: u64) -> usize {
    usize::try_from(data_blocks * 32).unwrap_or(usize::MAX).next_multiple_of(BLOCK_LEN)
}

fn differs_from(a: &[u8], b: &[u8], from: usize) -> Option<usize> {
    let (a, b) = (a.get(from..)?, b.get(from..)?);
    a.iter().zip(b).position(|(a, b)| a != b).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree_of(data: &[u8], salt: &[u8]) -> Tree {
        let mut writer = TreeWriter::new(salt);
        writer.write_all(data).unwrap();
        writer.finish([1; 16]).unwrap()
    }

    fn data(blocks: usize) -> Vec<u8> {
        (0..blocks * BLOCK_LEN).map(|at| (at / 7 + at / BLOCK_LEN) as u8).collect()
    }

    #[test]
    fn the_root_is_the_salted_hash_of_the_top_block() {
        let tree = tree_of(&data(300), b"salt");
        let top = tree.blocks.first_chunk().unwrap();
        assert_eq!(root_hash_of(&tree.superblock, top), tree.root);
        assert_eq!(tree.blocks.len() as u64 + 4096, tree.superblock.hash_area_len());
    }

    #[test]
    fn one_flipped_byte_is_named_by_its_block() {
        let mut bytes = data(300);
        let tree = tree_of(&bytes, b"salt");
        verify(&tree.superblock, &tree.root, &mut &bytes[..], &mut &tree.blocks[..]).unwrap();
        bytes[217 * BLOCK_LEN + 5] ^= 1;
        let error = verify(&tree.superblock, &tree.root, &mut &bytes[..], &mut &tree.blocks[..]).unwrap_err();
        assert!(matches!(error, Mismatch::Data(217)), "{error}");
    }

    #[test]
    fn an_altered_tree_is_not_taken_for_altered_data() {
        let bytes = data(300);
        let mut tree = tree_of(&bytes, b"salt");
        tree.blocks[40] ^= 1;
        let error = verify(&tree.superblock, &tree.root, &mut &bytes[..], &mut &tree.blocks[..]).unwrap_err();
        assert!(matches!(error, Mismatch::Tree(0)), "{error}");
    }

    #[test]
    fn another_image_has_another_root() {
        let bytes = data(3);
        let tree = tree_of(&bytes, b"salt");
        let other = Digest::of(b"other");
        let error = verify(&tree.superblock, &other, &mut &bytes[..], &mut &tree.blocks[..]).unwrap_err();
        assert!(matches!(error, Mismatch::Root { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_the_tree(len in 4097_usize..40_000, piece in 1_usize..9_000) {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 31 / 11) as u8).collect();
            let mut writer = TreeWriter::new(b"s");
            for part in bytes.chunks(piece) {
                writer.write_all(part).unwrap();
            }
            let mut padded = bytes.clone();
            padded.resize(len.next_multiple_of(BLOCK_LEN), 0);
            prop_assert_eq!(writer.finish([1; 16]).unwrap(), tree_of(&padded, b"s"));
        }
    }
}
