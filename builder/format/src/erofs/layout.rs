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
/// Bytes of a short inode. An inode's number is its place in these.
pub(super) const SHORT_LEN: u64 = 32;
/// Bytes of a long inode, for what a short one has no room for.
pub(super) const LONG_LEN: u64 = 64;
/// Bytes between an inode and the index of its clusters.
pub(super) const INDEX_HEAD: u64 = 16;
/// Bytes of the index for each block of the file.
pub(super) const INDEX_ENTRY: u64 = 8;
const BLOCK: u64 = BLOCK_LEN as u64;

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
    /// Bytes of the inode itself: [`SHORT_LEN`] or [`LONG_LEN`].
    pub(super) len: u64,
    pub(super) links: u32,
    pub(super) body: Body<'a>,
}

/// What an inode's contents are made of.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// A directory: whole blocks from `block` on, the last one inline if it fits there.
    Directory { entries: Directory<'a>, block: u32 },
    /// A link's target or a small file, inline.
    Inline,
    /// The target of a link, too long to be inline, in a block of its own.
    Target { target: &'a str, block: u32 },
    /// A file's blocks, not compressed.
    Plain { block: u32 },
    /// A file's clusters.
    Packed { packed: Packed, block: u32 },
}

/// Whether a file of that owner and size lies in an image as it is, behind its inode. All larger
/// ones must have been packed.
#[must_use]
pub fn is_inline(node: &Node) -> bool {
    node.size() <= BLOCK - len_of(node, 1)
}

/// Bytes of the inode of `node`.
fn len_of(node: &Node, links: u32) -> u64 {
    let fits = [node.uid, node.gid, links].iter().all(|number| *number <= u32::from(u16::MAX))
        && node.size() <= u64::from(u32::MAX);
    if fits { SHORT_LEN } else { LONG_LEN }
}

/// Plans the image of `manifest`. `packed` knows every file that is too large to be inline.
pub(super) fn plan<'a>(
    manifest: &'a Manifest,
    packed: &dyn Fn(&Digest) -> Option<Packed>,
) -> Result<Plan<'a>, WriteError> {
    let mut directories = directory::of(manifest);
    let mut inodes: Vec<(&ImagePath, Planned)> = Vec::new();
    for (path, node) in manifest.iter() {
        let body = match &node.kind {
            Kind::Directory {} => {
                Body::Directory { entries: directories.remove(path).unwrap_or_default(), block: 0 }
            }
            Kind::File { .. } if is_inline(node) => Body::Inline,
            Kind::File { sha256, size } => {
                let packed = packed(sha256).filter(|packed| packed.fits(*size));
                let packed = packed.ok_or_else(|| WriteError::NotPacked(path.clone(), *sha256))?;
                if packed.is_plain() { Body::Plain { block: 0 } } else { Body::Packed { packed, block: 0 } }
            }
            Kind::Symlink { target } if target.len() as u64 > BLOCK - len_of(node, 1) => {
                Body::Target { target, block: 0 }
            }
            Kind::Symlink { .. } => Body::Inline,
        };
        let links = match &body {
            Body::Directory { entries, .. } => entries.links(),
            _ => 1,
        };
        inodes.push((path, Planned { node, offset: 0, len: len_of(node, links), links, body }));
    }
    // Stable: within a class the order of paths remains, and the root directory is first.
    inodes.sort_by_key(|(_, inode)| match inode.body {
        Body::Directory { .. } => 0,
        Body::Inline | Body::Target { .. } | Body::Plain { .. } => 1,
        Body::Packed { .. } => 2,
    });
    let meta_blocks = place_inodes(&mut inodes)?;
    let mut inodes: BTreeMap<&ImagePath, Planned> = inodes.into_iter().collect();
    let (order, blocks) = place_data(&mut inodes, meta_blocks)?;
    Ok(Plan { inodes, order, meta_blocks, blocks })
}

/// Gives every inode its place; answers how many blocks superblock and inodes take.
fn place_inodes(inodes: &mut [(&ImagePath, Planned)]) -> Result<u32, WriteError> {
    let mut at = FIRST_INODE;
    for (_, inode) in inodes {
        at = at.next_multiple_of(SHORT_LEN);
        let inline = inode.inline_len();
        // What is inline must lie in one block with its inode. A long inode may cross blocks.
        if inline > 0 && at % BLOCK + inode.len + inline > BLOCK {
            at = at.next_multiple_of(BLOCK);
        }
        inode.offset = at;
        at += inode.len + inline + inode.index_len();
    }
    u32::try_from(at.div_ceil(BLOCK)).map_err(|_| WriteError::Full)
}

/// Gives all that is not inline its blocks, in the order of paths: directories and links first,
/// then files. Answers the contents in the order of their data, and the blocks of the image.
fn place_data(
    inodes: &mut BTreeMap<&ImagePath, Planned>,
    meta_blocks: u32,
) -> Result<(Vec<Digest>, u32), WriteError> {
    let mut next = meta_blocks;
    let mut take = |blocks: u64| -> Result<u32, WriteError> {
        let block = next;
        let blocks = u32::try_from(blocks).map_err(|_| WriteError::Full)?;
        next = next.checked_add(blocks).ok_or(WriteError::Full)?;
        Ok(block)
    };
    for inode in inodes.values_mut() {
        let own = inode.own_blocks();
        if let Body::Directory { block, .. } | Body::Target { block, .. } = &mut inode.body {
            *block = take(own)?;
        }
    }
    let (mut known, mut order) = (BTreeMap::new(), Vec::new());
    for inode in inodes.values_mut() {
        let Kind::File { sha256, size } = inode.node.kind else { continue };
        let (block, blocks) = match &mut inode.body {
            Body::Plain { block } => (block, size.div_ceil(BLOCK)),
            Body::Packed { packed, block } => (block, u64::from(packed.blocks())),
            Body::Directory { .. } | Body::Target { .. } | Body::Inline => continue,
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
    Ok((order, take(0)?))
}

impl Planned<'_> {
    /// Its number.
    pub(super) fn number(&self) -> u64 {
        self.offset / SHORT_LEN
    }

    /// Bytes of contents right behind the inode.
    pub(super) fn inline_len(&self) -> u64 {
        match (&self.body, &self.node.kind) {
            (Body::Directory { entries, .. }, _) => {
                Some(entries.last_len()).filter(|len| *len <= BLOCK - self.len).unwrap_or(0)
            }
            (Body::Inline, Kind::File { size, .. }) => *size,
            (Body::Inline, Kind::Symlink { target }) => target.len() as u64,
            _ => 0,
        }
    }

    /// Blocks of a directory or a link that are not inline.
    pub(super) fn own_blocks(&self) -> u64 {
        match &self.body {
            Body::Directory { entries, .. } => {
                entries.blocks().saturating_sub(u64::from(self.inline_len() > 0))
            }
            Body::Target { .. } => 1,
            Body::Inline | Body::Plain { .. } | Body::Packed { .. } => 0,
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
