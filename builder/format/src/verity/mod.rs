//! dm-verity: the superblock and the hash tree, as `veritysetup format` writes them.
//!
//! A slot is a file system image, this superblock right behind it, and the tree. `superblock`
//! holds the layout and where each part lies, `tree` computes and checks hashes. The kernel's
//! `dm-verity` does the checking on a machine; stage 1 only asks [`root_hash_of`] whether a
//! device is the slot that its command line names, and [`Superblock::table`] what to load.

mod superblock;
mod tree;

pub use superblock::{SUPERBLOCK_LEN, Superblock, VerityError};
pub use tree::{Mismatch, Tree, TreeWriter, root_hash_of, verify};

/// Bytes of a data block and of a hash block: we write no other size.
pub const BLOCK_LEN: usize = 4096;
