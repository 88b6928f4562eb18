//! Where everything of a new image goes: inodes, directory blocks, file data.
//!
//! Inodes come first, in the order of what is looked at first: directories, then links and small
//! files with their contents inline, then large files with the index of their clusters. Data
//! follows, the same contents once. All of it is arithmetic on the manifest and on how large
//! packed files are, so it is done before a byte is written.

use std::collections::BTreeMap;

use super::directory::{self, Directory};
use super::pack::{BLOCK_LEN, Packed, raw_blocks};
use super::writer::WriteError;
use crate::Digest;
use crate::manifest::{ImagePath, Kind, Manifest, Node};

/// Where the first inode lies: behind the superblock and the compression's settings.
const FIRST_INODE: u64 = 1184;
/// Bytes of an inode; its number is its place in these.
pub(super) const INODE_LEN: u64 = 32;
/// Bytes between an inode and the index of its clusters.
pub(super) const INDEX_HEAD: u64 = 16;
/// Bytes of the index for each block of the file.
pub(super) const INDEX_ENTRY: u64 = 8;
/// The most that fits behind an inode in the same block.
pub(super) const INLINE_MAX: u64 = BLOCK_LEN as u64 - INODE_LEN;

/// An image to be.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// By path.
    pub(super) inodes: BTreeMap<&'a ImagePath, Planned<'a>>,
    /// Contents in the order of their data.
    pub(super) order: Vec<Digest>,
    /// Blocks of superblock and inodes.
    pub(super) meta_blocks: u32,
    /// Blocks of everything.
    pub(super) blocks: u32,
}

/// One inode to be.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    pub(super) node: &'a Node,
    /// Where it lies.
    pub(super) offset: u64,
    pub(super) links: u16,
    pub(super) body: Body<'a>,
}

/// What an inode's contents are made of.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// A directory: whole blocks from `block` on, the rest inline if it fits there.
    Directory { entries: Directory<'a>, block: u32 },
    /// A link's target or a small file, inline.
    Inline,
    /// A file's blocks, not compressed.
    Plain { block: u32 },
    /// A file's clusters.
    Packed { packed: Packed, block: u32 },
}

impl Planned<'_> {
    /// Its number.
    pub(super) fn number(&self) -> u64 {
        self.offset / INODE_LEN
    }
}

/// Plans the image of `manifest`. `packed` knows every file that is too large to be inline.
pub(super) fn plan<'a>(
    manifest: &'a Manifest,
    packed: &dyn Fn(&Digest) -> Option<Packed>,
) -> Result<Plan<'a>, WriteError> {
    let mut directories = directory::of(manifest);
    let mut inodes: Vec<(&ImagePath, Planned)> = Vec::new();
    for (path, node) in manifest.iter() {
        if node.uid > u32::from(u16::MAX) || node.gid > u32::from(u16::MAX) || node.size() > u64::from(u32::MAX) {
            return Err(WriteError::TooLarge(path.clone()));
        }
        let body = match &node.kind {
            Kind::Directory {} => {
                let entries = directories.remove(path).unwrap_or_default();
                Body::Directory { entries, block: 0 }
            }
            Kind::File { sha256, size } if *size > INLINE_MAX => {
                let packed = packed(sha256).filter(|packed| packed.fits(*size));
                let packed = packed.ok_or_else(|| WriteError::NotPacked(path.clone(), *sha256))?;
                if packed.is_plain() { Body::Plain { block: 0 } } else { Body::Packed { packed, block: 0 } }
            }
            Kind::Symlink { target } if target.len() as u64 > INLINE_MAX => {
                return Err(WriteError::TooLarge(path.clone()));
            }
            Kind::File { .. } | Kind::Symlink { .. } => Body::Inline,
        };
        let links = match &body {
            Body::Directory { entries, .. } => entries.links(),
            _ => 1,
        };
        inodes.push((path, Planned { node, offset: 0, links, body }));
    }
    // Stable: within a class the order of paths remains, and the root directory is first.
    inodes.sort_by_key(|(_, inode)| match inode.body {
        Body::Directory { .. } => 0,
        Body::Inline | Body::Plain { .. } => 1,
        Body::Packed { .. } => 2,
    });
    place(inodes)
}

fn place<'a>(mut inodes: Vec<(&'a ImagePath, Planned<'a>)>) -> Result<Plan<'a>, WriteError> {
    let mut at = FIRST_INODE;
    for (_, inode) in &mut inodes {
        at = at.next_multiple_of(INODE_LEN);
        let inline = inode.inline_len();
        // What is inline must lie in one block with its inode.
        if inline > 0 && at % BLOCK_LEN as u64 + INODE_LEN + inline > BLOCK_LEN as u64 {
            at = at.next_multiple_of(BLOCK_LEN as u64);
        }
        inode.offset = at;
        at += INODE_LEN + inline + inode.index_len();
    }
    let meta_blocks = blocks_of(at)?;
    let mut next = u64::from(meta_blocks);
    let mut take = |blocks: u64| -> Result<u32, WriteError> {
        let block = next;
        next += blocks;
        u32::try_from(next).map_err(|_| WriteError::Full)?;
        u32::try_from(block).map_err(|_| WriteError::Full)
    };
    for (_, inode) in &mut inodes {
        if let Body::Directory { entries, block } = &mut inode.body {
            *block = take(entries.whole_blocks())?;
        }
    }
    let (mut known, mut order) = (BTreeMap::new(), Vec::new());
    inodes.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (_, inode) in &mut inodes {
        let Kind::File { sha256, size } = inode.node.kind else { continue };
        let (block, blocks) = match &mut inode.body {
            Body::Plain { block } => (block, size.div_ceil(BLOCK_LEN as u64)),
            Body::Packed { packed, block } => (block, u64::from(packed.blocks())),
            Body::Directory { .. } | Body::Inline => continue,
        };
        *block = match known.get(&sha256) {
            Some(block) => *block,
            None => {
                let fresh = take(blocks)?;
                known.insert(sha256, fresh);
                order.push(sha256);
                fresh
            }
        };
    }
    let blocks = take(0)?;
    Ok(Plan { inodes: inodes.into_iter().collect(), order, meta_blocks, blocks })
}

fn blocks_of(bytes: u64) -> Result<u32, WriteError> {
    u32::try_from(bytes.div_ceil(BLOCK_LEN as u64)).map_err(|_| WriteError::Full)
}

impl Planned<'_> {
    /// Bytes of contents right behind the inode.
    pub(super) fn inline_len(&self) -> u64 {
        match (&self.body, &self.node.kind) {
            (Body::Directory { entries, .. }, _) => entries.inline_len(),
            (Body::Inline, Kind::File { size, .. }) => *size,
            (Body::Inline, Kind::Symlink { target }) => target.len() as u64,
            _ => 0,
        }
    }

    fn index_len(&self) -> u64 {
        match &self.body {
            Body::Packed { packed, .. } => {
                let size = self.node.size();
                let raw: u64 = (0..packed.clusters.len()).map(|at| raw_blocks(size, at)).sum();
                INDEX_HEAD + raw * INDEX_ENTRY
            }
            _ => 0,
        }
    }
}
