//! Writes erofs images: a manifest and packed files in, one stream out.
//!
//! The image depends on the manifest and the UUID alone. Layout is `layout`'s business, packing
//! `pack`'s; here numbers become bytes. What a format field means is said where the kernel's header
//! (fs/erofs/erofs_fs.h) has another word for it.

use std::io::{self, Read, Write};

use super::layout::{Body, LONG_LEN, Plan, Planned, SHORT_LEN, plan};
use super::pack::{BLOCK_LEN, CLUSTER_LEN, Cluster, Packed};
use super::superblock::{INCOMPAT_CLUSTERS, INCOMPAT_PADDING, MAGIC, SUPERBLOCK_OFFSET};
use crate::Digest;
use crate::contents::{Checked, Contents};
use crate::manifest::{ImagePath, Kind, Manifest};

/// Files in their packed form.
pub trait PackedFiles {
    /// How the clusters of a file lie; none if nobody packed it.
    fn packed(&self, digest: &Digest) -> Option<Packed>;

    /// The blocks of its clusters, one after the other.
    ///
    /// # Errors
    /// They cannot be opened.
    fn blocks(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>>;
}

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A large file that nobody packed, or packed otherwise.
    #[error("{0} ({1}) has not been packed")]
    NotPacked(ImagePath, Digest),
    /// More than the format can address.
    #[error("the image has more than 2^32 blocks")]
    Full,
    /// Reading contents.
    #[error("adding {0}")]
    Read(ImagePath, #[source] io::Error),
    /// Reading packed contents.
    #[error("adding the packed contents {0}")]
    ReadPacked(Digest, #[source] io::Error),
    /// Writing the image.
    #[error("writing the image")]
    Write(#[source] io::Error),
}

/// Writes the image of `manifest`. Small files come from `contents`, large ones from `files`.
///
/// # Errors
/// [`WriteError`].
pub fn write(
    manifest: &Manifest,
    contents: &dyn Contents,
    files: &dyn PackedFiles,
    uuid: [u8; 16],
    to: &mut impl Write,
) -> Result<(), WriteError> {
    let plan = plan(manifest, &|digest| files.packed(digest))?;
    let mut meta = Meta::new(plan.meta_blocks);
    meta.put(SUPERBLOCK_OFFSET, &superblock(&plan, uuid));
    for (number, (path, inode)) in plan.inodes.iter().enumerate() {
        // Numbers for stat(2), from 1; the kernel finds inodes by their place.
        let number = u32::try_from(number + 1).map_err(|_| WriteError::Full)?;
        meta.put(inode.offset, &inode_bytes(inode, number));
        let read = |source| WriteError::Read((*path).clone(), source);
        meta.put(inode.offset + inode.len, &behind(inode, &plan, contents).map_err(read)?);
    }
    to.write_all(&meta.0).map_err(WriteError::Write)?;
    write_own_blocks(&plan, to).map_err(WriteError::Write)?;
    for digest in &plan.order {
        let packed = files.packed(digest).unwrap_or_default();
        copy_blocks(files, digest, packed.blocks(), to)?;
    }
    to.flush().map_err(WriteError::Write)
}

/// The blocks of superblock and inodes.
struct Meta(Vec<u8>);

impl Meta {
    fn new(blocks: u32) -> Self {
        Self(vec![0; blocks as usize * BLOCK_LEN])
    }

    /// `layout` has made room for everything that is put here.
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(place) = self.0.get_mut(start..start.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }
}

/// zstd among the kernel's algorithms.
const ZSTD: u8 = 3;

/// The superblock, and behind it the settings of zstd.
fn superblock(plan: &Plan, uuid: [u8; 16]) -> Vec<u8> {
    let root = plan.inodes.get(&ImagePath::root()).map_or(0, Planned::number);
    let mut bytes = vec![0; 128];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &MAGIC.to_le_bytes());
    put(12, &[BLOCK_LEN.trailing_zeros() as u8]);
    put(14, &(root as u16).to_le_bytes());
    put(16, &(plan.inodes.len() as u64).to_le_bytes());
    put(36, &plan.blocks.to_le_bytes());
    put(48, &uuid);
    put(80, &(INCOMPAT_PADDING | INCOMPAT_CLUSTERS).to_le_bytes());
    put(84, &(1_u16 << ZSTD).to_le_bytes());
    // How long its settings are; its format; its window as a power of two, less ten.
    bytes.extend(6_u16.to_le_bytes());
    bytes.extend([0, CLUSTER_LEN.trailing_zeros() as u8 - 10, 0, 0, 0, 0]);
    bytes
}

/// An inode. A short one ("compact") has the superblock's time, a long one ("extended") its own:
/// both are 1970.
fn inode_bytes(inode: &Planned, number: u32) -> Vec<u8> {
    const PLAIN: u16 = 0;
    const COMPRESSED: u16 = 1;
    const INLINE: u16 = 2;
    let node = inode.node;
    let inline = if inode.inline_len() > 0 { INLINE } else { PLAIN };
    let (layout, size, value) = match &inode.body {
        Body::Directory { entries, block } => (inline, entries.size(), *block),
        // An empty file has nothing inline, and must not claim to.
        Body::Inline => (inline, inode.inline_len(), 0),
        Body::Target { target, block } => (PLAIN, target.len() as u64, *block),
        Body::Plain { block } => (PLAIN, node.size(), *block),
        Body::Packed { packed, .. } => (COMPRESSED, node.size(), packed.blocks()),
    };
    let kind = match node.kind {
        Kind::Directory {} => 0o040_000,
        Kind::File { .. } => 0o100_000,
        Kind::Symlink { .. } => 0o120_000,
    };
    let mut bytes = vec![0; if inode.len == LONG_LEN { LONG_LEN } else { SHORT_LEN } as usize];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(4, &(kind | node.mode).to_le_bytes());
    put(16, &value.to_le_bytes());
    put(20, &number.to_le_bytes());
    if inode.len == LONG_LEN {
        put(0, &(layout << 1 | 1).to_le_bytes());
        put(8, &size.to_le_bytes());
        put(24, &node.uid.to_le_bytes());
        put(28, &node.gid.to_le_bytes());
        put(44, &inode.links.to_le_bytes());
    } else {
        // `layout` has seen to it that all of this fits.
        put(0, &(layout << 1).to_le_bytes());
        put(6, &(inode.links as u16).to_le_bytes());
        put(8, &(size as u32).to_le_bytes());
        put(24, &(node.uid as u16).to_le_bytes());
        put(26, &(node.gid as u16).to_le_bytes());
    }
    bytes
}

/// What lies right behind an inode: inline contents, or the index of its clusters.
fn behind(inode: &Planned, plan: &Plan, contents: &dyn Contents) -> io::Result<Vec<u8>> {
    match (&inode.body, &inode.node.kind) {
        (Body::Directory { entries, .. }, _) => {
            let bytes = entries.bytes(&plan.inodes);
            let inline = usize::try_from(inode.inline_len()).unwrap_or_default();
            Ok(bytes[bytes.len().saturating_sub(inline)..].to_vec())
        }
        (Body::Inline, Kind::Symlink { target }) => Ok(target.clone().into_bytes()),
        (Body::Inline, Kind::File { sha256, size }) => {
            let mut bytes = Vec::new();
            Checked::open(contents, *sha256, *size)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        (Body::Packed { packed, block }, _) => Ok(index(packed, *block, inode.node.size())),
        _ => Ok(Vec::new()),
    }
}

/// `Z_EROFS_ADVISE_BIG_PCLUSTER_1`: clusters say how many blocks they have.
const ADVISE_BLOCK_COUNTS: u16 = 2;
/// `Z_EROFS_LI_D0_CBLKCNT`: the number is a count of blocks.
const BLOCK_COUNT: u16 = 1 << 11;

/// The index of a file's clusters: for each of its blocks what to decompress to have it.
fn index(packed: &Packed, block: u32, size: u64) -> Vec<u8> {
    const PLAIN: u16 = 0;
    const HEAD: u16 = 1;
    const INSIDE: u16 = 2;
    let mut bytes = vec![0; 4];
    bytes.extend(ADVISE_BLOCK_COUNTS.to_le_bytes());
    bytes.extend([ZSTD, 0]);
    // Padding that the format has kept from its first days.
    bytes.extend([0; 8]);
    let mut entry = |kind: u16, value: u32| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(0_u16.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    };
    let inside = |back: u16, forward: u16| u32::from(back) | u32::from(forward) << 16;
    let mut at = block;
    for (number, cluster) in packed.clusters.iter().enumerate() {
        let raw = super::pack::raw_blocks(size, number) as u16;
        match *cluster {
            Cluster::Plain(_) => (0..raw).for_each(|block| entry(PLAIN, at.wrapping_add(block.into()))),
            Cluster::Zstd(blocks) => {
                entry(HEAD, at);
                for distance in 1..raw {
                    // The first block behind the head tells the count instead of its distance, 1.
                    let back = if distance == 1 { BLOCK_COUNT | blocks } else { distance };
                    entry(INSIDE, inside(back, raw - distance));
                }
            }
        }
        at = at.wrapping_add(cluster.blocks().into());
    }
    bytes
}

/// The blocks of directories and links that are not inline. In the order of paths, as `layout` gave
/// them their places.
fn write_own_blocks(plan: &Plan, to: &mut impl Write) -> io::Result<()> {
    for inode in plan.inodes.values() {
        let mut bytes = match &inode.body {
            Body::Directory { entries, .. } if inode.own_blocks() > 0 => entries.bytes(&plan.inodes),
            Body::Target { target, .. } => target.as_bytes().to_vec(),
            _ => continue,
        };
        bytes.resize(usize::try_from(inode.own_blocks()).unwrap_or_default() * BLOCK_LEN, 0);
        to.write_all(&bytes)?;
    }
    Ok(())
}

fn copy_blocks(
    files: &dyn PackedFiles,
    digest: &Digest,
    blocks: u32,
    to: &mut impl Write,
) -> Result<(), WriteError> {
    let read = |source| WriteError::ReadPacked(*digest, source);
    let mut from = files.blocks(digest).map_err(read)?;
    let mut buffer = vec![0; 256 * BLOCK_LEN];
    let mut left = u64::from(blocks) * BLOCK_LEN as u64;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let piece = &mut buffer[..len];
        from.read_exact(piece).map_err(read)?;
        to.write_all(piece).map_err(WriteError::Write)?;
        left -= len as u64;
    }
    // Whoever checks what it reads does so at the end.
    match from.read(&mut [0]).map_err(read)? {
        0 => Ok(()),
        _ => Err(read(io::Error::other(format!("there are more than {blocks} blocks")))),
    }
}
