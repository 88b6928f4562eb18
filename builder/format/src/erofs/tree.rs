//! The inodes of an image: names, sizes, and the bytes that each takes on disk.
//!
//! Compressed files have their count of compressed blocks in the inode, which is all that is read
//! of them; files too small to be compressed can be read whole. Loops and absurd sizes in a
//! damaged image are errors.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom};

use super::{ErofsError, SUPERBLOCK_LEN, SUPERBLOCK_OFFSET, Superblock};
use crate::manifest::{ImagePath, PathError};

/// Largest directory that is read, in bytes: some hundred thousand names.
const DIRECTORY_MAX: u64 = 16 << 20;
/// Largest file that [`Tree::read`] reads, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// An image to look into.
#[derive(Debug)]
pub struct Tree<R> {
    image: R,
    superblock: Superblock,
}

/// One file, directory or link of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Its number.
    pub number: u64,
    /// Type and permission bits, as stat(2) has them.
    pub mode: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Bytes of its contents.
    pub size: u64,
    layout: Layout,
    /// Bytes of the inode itself, before data that follows it inline.
    len: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Blocks in a row.
    Plain { block: u32 },
    /// Blocks in a row, the last piece right behind the inode.
    Inline { block: u32 },
    /// So many compressed blocks.
    Compressed { blocks: u32 },
}

/// Why an image cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Reading it.
    #[error("reading the image")]
    Io(#[from] io::Error),
    /// It is no erofs.
    #[error(transparent)]
    Superblock(#[from] ErofsError),
    /// An inode of a kind that we never write.
    #[error("inode {number} has the data layout {layout}, which is not supported")]
    Layout {
        /// Which.
        number: u64,
        /// As found.
        layout: u16,
    },
    /// A directory that cannot be.
    #[error("directory {path}: {reason}")]
    Directory {
        /// Which.
        path: ImagePath,
        /// What is wrong.
        reason: &'static str,
    },
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] PathError),
    /// A file that is compressed or too large to be read here.
    #[error("{0} is compressed or too large to be read without mounting the image")]
    Unreadable(ImagePath),
}

impl Inode {
    /// Bytes of its contents on disk, whole blocks where they are compressed; without its inode.
    #[must_use]
    pub fn disk_len(&self, block_size: u32) -> u64 {
        match self.layout {
            Layout::Compressed { blocks } => u64::from(blocks) * u64::from(block_size),
            Layout::Plain { .. } => self.size.next_multiple_of(u64::from(block_size)),
            Layout::Inline { .. } => self.size,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }
}

impl<R: Read + Seek> Tree<R> {
    /// Opens the image that begins at the reader's offset 0.
    ///
    /// # Errors
    /// It is no erofs image.
    pub fn open(mut image: R) -> Result<Self, TreeError> {
        let mut bytes = [0; SUPERBLOCK_LEN];
        image.seek(SeekFrom::Start(SUPERBLOCK_OFFSET))?;
        image.read_exact(&mut bytes)?;
        Ok(Self { image, superblock: Superblock::parse(&bytes)? })
    }

    /// Its superblock.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Every inode with its path, in the order of paths.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn list(&mut self) -> Result<Vec<(ImagePath, Inode)>, TreeError> {
        let root = self.inode(u64::from(self.superblock.root))?;
        let mut seen = BTreeSet::from([root.number]);
        let mut found = vec![(ImagePath::root(), root.clone())];
        let mut todo = vec![(ImagePath::root(), root)];
        while let Some((path, directory)) = todo.pop() {
            for (name, number) in self.entries(&path, &directory)? {
                let inode = self.inode(number)?;
                let below = path.join(&name)?;
                if inode.is_directory() {
                    if !seen.insert(number) {
                        return Err(TreeError::Directory { path: below, reason: "it is in the image twice" });
                    }
                    todo.push((below.clone(), inode.clone()));
                }
                if found.len() as u64 > self.superblock.inodes {
                    return Err(TreeError::Directory { path, reason: "more inodes than the superblock has" });
                }
                found.push((below, inode));
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }

    /// The contents of a file that is not compressed, as small ones are not.
    ///
    /// # Errors
    /// It is compressed, or the image is damaged.
    pub fn read(&mut self, path: &ImagePath, inode: &Inode) -> Result<Vec<u8>, TreeError> {
        if inode.size > FILE_MAX || !inode.is_file() {
            return Err(TreeError::Unreadable(path.clone()));
        }
        self.data(inode)?.ok_or_else(|| TreeError::Unreadable(path.clone()))
    }

    fn offset_of(&self, number: u64) -> u64 {
        let meta = u64::from(self.superblock.meta_block) * u64::from(self.superblock.block_size);
        meta.saturating_add(number.saturating_mul(32))
    }

    fn inode(&mut self, number: u64) -> Result<Inode, TreeError> {
        let mut bytes = [0; 64];
        self.image.seek(SeekFrom::Start(self.offset_of(number)))?;
        self.image.read_exact(&mut bytes[..32])?;
        let format = u16_at(&bytes, 0);
        let extended = format & 1 != 0;
        if extended {
            self.image.read_exact(&mut bytes[32..])?;
        }
        let value = u32_at(&bytes, 16);
        let layout = match format >> 1 & 7 {
            0 => Layout::Plain { block: value },
            1 | 3 => Layout::Compressed { blocks: value },
            2 => Layout::Inline { block: value },
            layout => return Err(TreeError::Layout { number, layout }),
        };
        let (uid, gid, size) = if extended {
            let size = u64::from(u32_at(&bytes, 8)) | u64::from(u32_at(&bytes, 12)) << 32;
            (u32_at(&bytes, 24), u32_at(&bytes, 28), size)
        } else {
            (u16_at(&bytes, 24).into(), u16_at(&bytes, 26).into(), u32_at(&bytes, 8).into())
        };
        let xattrs = match u64::from(u16_at(&bytes, 2)) {
            0 => 0,
            count => 12 + 4 * (count - 1),
        };
        let len = if extended { 64 } else { 32 } + xattrs;
        Ok(Inode { number, mode: u16_at(&bytes, 4), uid, gid, size, layout, len })
    }

    /// Contents of an inode that is not compressed; the caller has bounded its size.
    fn data(&mut self, inode: &Inode) -> Result<Option<Vec<u8>>, TreeError> {
        let block_size = u64::from(self.superblock.block_size);
        let (block, inline) = match inode.layout {
            Layout::Plain { block } => (block, 0),
            Layout::Inline { block } => (block, inode.size % block_size),
            Layout::Compressed { .. } => return Ok(None),
        };
        let mut bytes = vec![0; usize::try_from(inode.size).unwrap_or(usize::MAX)];
        let whole = bytes.len().saturating_sub(usize::try_from(inline).unwrap_or_default());
        let (blocks, tail) = bytes.split_at_mut(whole);
        if !blocks.is_empty() {
            self.image.seek(SeekFrom::Start(u64::from(block) * block_size))?;
            self.image.read_exact(blocks)?;
        }
        if !tail.is_empty() {
            self.image.seek(SeekFrom::Start(self.offset_of(inode.number).saturating_add(inode.len)))?;
            self.image.read_exact(tail)?;
        }
        Ok(Some(bytes))
    }

    fn entries(&mut self, path: &ImagePath, inode: &Inode) -> Result<Vec<(String, u64)>, TreeError> {
        let wrong = |reason| TreeError::Directory { path: path.clone(), reason };
        if inode.size > DIRECTORY_MAX {
            return Err(wrong("it is absurdly large"));
        }
        let data = self.data(inode)?.ok_or_else(|| wrong("it is compressed"))?;
        let mut found = Vec::new();
        for block in data.chunks(self.superblock.block_size as usize) {
            let entries = block_entries(block).ok_or_else(|| wrong("an entry points outside its block"))?;
            for (name, number) in entries {
                let name = std::str::from_utf8(name).map_err(|_| wrong("a name is not UTF-8"))?;
                if name != "." && name != ".." {
                    found.push((name.to_owned(), number));
                }
            }
        }
        Ok(found)
    }
}

/// The entries of one block of a directory: twelve bytes each, then the names.
fn block_entries(block: &[u8]) -> Option<Vec<(&[u8], u64)>> {
    let name_at = |entry: &[u8]| Some(usize::from(u16::from_le_bytes(*entry.get(8..)?.first_chunk()?)));
    let table = block.get(..name_at(block)?)?;
    let entries: Vec<&[u8]> = table.chunks_exact(12).collect();
    let mut found = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let end = entries.get(at + 1).map_or(Some(block.len()), |next| name_at(next))?;
        let name = block.get(name_at(entry)?..end)?;
        let name = name.split(|byte| *byte == 0).next()?;
        found.push((name, u64::from_le_bytes(*entry.first_chunk()?)));
    }
    Some(found)
}

fn u16_at(bytes: &[u8; 64], at: usize) -> u16 {
    bytes[at..].first_chunk().map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

fn u32_at(bytes: &[u8; 64], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}
