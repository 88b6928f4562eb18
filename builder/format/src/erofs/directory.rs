//! Directories as they lie on disk: blocks of sorted entries, each block's names behind them.
//!
//! Entries may not cross blocks, and the kernel looks names up by bisection, so they are sorted by
//! bytes, `.` and `..` among them.

use std::collections::BTreeMap;

use super::layout::Planned;
use super::pack::BLOCK_LEN;
use crate::manifest::{ImagePath, Kind, Manifest};

/// Bytes of an entry, without its name.
const ENTRY_LEN: usize = 12;

/// A directory: its entries, cut into blocks.
#[derive(Debug, Default)]
pub(super) struct Directory<'a> {
    blocks: Vec<Vec<(&'a str, Target<'a>)>>,
    subdirectories: u32,
}

/// What an entry names.
#[derive(Debug, Clone, Copy)]
struct Target<'a> {
    path: &'a ImagePath,
    kind: u8,
}

/// Every directory of `manifest` with its entries.
pub(super) fn of(manifest: &Manifest) -> BTreeMap<ImagePath, Directory<'_>> {
    let mut children: BTreeMap<ImagePath, Vec<(&str, Target)>> = BTreeMap::new();
    let by_path: BTreeMap<&ImagePath, &ImagePath> = manifest.iter().map(|(path, _)| (path, path)).collect();
    for (path, node) in manifest.iter() {
        if node.is_directory() {
            let parent = path.parent().unwrap_or_else(ImagePath::root);
            let parent = by_path.get(&parent).copied().unwrap_or(path);
            let entries = children.entry(path.clone()).or_default();
            entries.push((".", Target { path, kind: kind_of(&node.kind) }));
            entries.push(("..", Target { path: parent, kind: kind_of(&node.kind) }));
        }
        if let Some(parent) = path.parent() {
            let target = Target { path, kind: kind_of(&node.kind) };
            children.entry(parent).or_default().push((path.name(), target));
        }
    }
    children.into_iter().map(|(path, entries)| (path, Directory::new(entries))).collect()
}

/// The file type in an entry.
fn kind_of(kind: &Kind) -> u8 {
    match kind {
        Kind::File { .. } => 1,
        Kind::Directory {} => 2,
        Kind::Symlink { .. } => 7,
    }
}

impl<'a> Directory<'a> {
    fn new(mut entries: Vec<(&'a str, Target<'a>)>) -> Self {
        entries.sort_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        let directories = entries.iter().filter(|(_, target)| target.kind == 2).count();
        let mut blocks: Vec<Vec<_>> = Vec::new();
        let mut room = 0;
        for (name, target) in entries {
            let need = ENTRY_LEN + name.len();
            if room < need {
                blocks.push(Vec::new());
                room = BLOCK_LEN;
            }
            room -= need;
            if let Some(block) = blocks.last_mut() {
                block.push((name, target));
            }
        }
        Self { blocks, subdirectories: u32::try_from(directories).unwrap_or(u32::MAX) }
    }

    /// Its links: one from each subdirectory, its own and its parent's among the counted entries.
    pub(super) fn links(&self) -> u32 {
        self.subdirectories
    }

    /// Blocks of its contents, the last one perhaps not full.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Bytes of its last block.
    pub(super) fn last_len(&self) -> u64 {
        self.blocks
            .last()
            .map_or(0, |block| block.iter().map(|(name, _)| ENTRY_LEN + name.len()).sum::<usize>())
            as u64
    }

    /// Bytes of its contents.
    pub(super) fn size(&self) -> u64 {
        self.blocks().saturating_sub(1) * BLOCK_LEN as u64 + self.last_len()
    }

    /// Its contents, every block but the last padded; `inodes` knows the numbers.
    pub(super) fn bytes(&self, inodes: &BTreeMap<&ImagePath, Planned>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in &self.blocks {
            bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
            let mut name_at = block.len() * ENTRY_LEN;
            for (name, target) in block {
                let number = inodes.get(target.path).map_or(0, Planned::number);
                bytes.extend(number.to_le_bytes());
                bytes.extend((name_at as u16).to_le_bytes());
                bytes.extend([target.kind, 0]);
                name_at += name.len();
            }
            block.iter().for_each(|(name, _)| bytes.extend(name.as_bytes()));
        }
        bytes
    }
}
