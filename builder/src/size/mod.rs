//! Size report and budget of a role: how much of the slot each component takes.
//!
//! Installed bytes come from the manifest, compressed bytes from the finished image itself: erofs
//! notes in each inode how many compressed blocks it has, so the shares are exact and not an
//! estimate. What belongs to no file (inodes, indexes, the hash tree) has a line of its own.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use anyhow::{Context as _, Result, bail};
use image_format::erofs::Tree;
use image_format::manifest::Merged;
use serde::{Deserialize, Serialize};

use crate::profile::Role;

/// The file's name among a role's artifacts.
pub const FILE: &str = "sizes.json";

/// How many components a breach of the budget names.
const LARGEST: usize = 5;

/// How many files the report lists.
const TOP_FILES: usize = 20;

const MIB: u64 = 1 << 20;

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sizes {
    /// The role.
    pub role: String,
    /// Bytes of the slot image.
    pub slot: u64,
    /// The most that it may have.
    pub budget: u64,
    /// Bytes of the initramfs.
    pub initramfs: u64,
    /// Bytes of all files unpacked.
    pub installed: u64,
    /// Bytes of the slot that belong to no file: inodes, indexes, the hash tree.
    pub overhead: u64,
    /// By component, the largest share of the slot first.
    pub components: Vec<Share>,
    /// The largest files.
    pub files: Vec<FileSize>,
}

/// What one component takes. A file that several bring alike counts for the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Share {
    /// The component.
    pub component: String,
    /// Its files.
    pub files: u64,
    /// Bytes of them unpacked.
    pub installed: u64,
    /// Bytes of them in the slot.
    pub compressed: u64,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSize {
    /// Where.
    pub path: String,
    /// Bytes unpacked.
    pub installed: u64,
    /// Bytes in the slot.
    pub compressed: u64,
}

/// What of a role the report is told.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Bytes of the slot image.
    pub slot: u64,
    /// Bytes of the initramfs.
    pub initramfs: u64,
    /// The most that the slot may have.
    pub budget: u64,
}

/// The most bytes that the slot of a role may have.
#[must_use]
pub fn budget(role: &Role) -> u64 {
    role.budget_mib.saturating_mul(MIB)
}

impl Sizes {
    /// Measures `tree` as it lies in `image`.
    ///
    /// # Errors
    /// The image is damaged, or is of another tree.
    pub fn measure(role: &str, tree: &Merged, image: impl Read + Seek, measured: Measured) -> Result<Self> {
        let mut image = Tree::open(image).context("opening the slot's file system")?;
        let block = image.superblock().block_size;
        let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
        let mut files = Vec::new();
        for (path, inode) in image.list().context("listing the slot's file system")? {
            let owner = tree.owner(&path).unwrap_or_default();
            if !inode.is_file() {
                continue;
            }
            let node = tree.manifest().get(&path).with_context(|| format!("{path} is in no component"))?;
            let share = shares.entry(owner).or_insert_with(|| Share::none(owner));
            let (installed, compressed) = (node.size(), inode.disk_len(block));
            share.files += 1;
            share.installed += installed;
            share.compressed += compressed;
            files.push(FileSize { path: path.to_string(), installed, compressed });
        }
        let mut components: Vec<Share> = shares.into_values().collect();
        components.sort_by(|one, other| {
            other.compressed.cmp(&one.compressed).then_with(|| one.component.cmp(&other.component))
        });
        files.sort_by(|one, other| {
            other.compressed.cmp(&one.compressed).then_with(|| one.path.cmp(&other.path))
        });
        files.truncate(TOP_FILES);
        let of_files: u64 = components.iter().map(|share| share.compressed).sum();
        Ok(Self {
            role: role.to_owned(),
            slot: measured.slot,
            budget: measured.budget,
            initramfs: measured.initramfs,
            installed: components.iter().map(|share| share.installed).sum(),
            overhead: measured.slot.saturating_sub(of_files),
            components,
            files,
        })
    }

    /// Holds the role to its budget.
    ///
    /// # Errors
    /// It is exceeded; the message names the largest components.
    pub fn check(&self) -> Result<()> {
        if self.slot <= self.budget {
            return Ok(());
        }
        let largest: Vec<String> = self
            .components
            .iter()
            .take(LARGEST)
            .map(|share| format!("{} {}", share.component, mib(share.compressed)))
            .collect();
        bail!(
            "the slot of role {} has {}, {} more than its budget of {}; the largest components: {}",
            self.role,
            mib(self.slot),
            mib(self.slot - self.budget),
            mib(self.budget),
            largest.join(", ")
        )
    }

    /// The report as a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["component", "files", "installed", "in the slot"]);
        for share in &self.components {
            table.add_row([
                share.component.clone(),
                share.files.to_string(),
                mib(share.installed),
                mib(share.compressed),
            ]);
        }
        table.add_row([
            "(inodes, indexes, hash tree)".to_owned(),
            String::new(),
            String::new(),
            mib(self.overhead),
        ]);
        table.add_row([
            format!("slot of {}, budget {}", self.role, mib(self.budget)),
            String::new(),
            mib(self.installed),
            mib(self.slot),
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        table.to_string()
    }
}

impl Share {
    fn none(component: &str) -> Self {
        Self { component: component.to_owned(), files: 0, installed: 0, compressed: 0 }
    }
}

/// Bytes as MiB with one decimal.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / MIB;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(slot: u64) -> Sizes {
        let share = |component: &str, compressed| Share {
            component: component.to_owned(),
            files: 1,
            installed: compressed * 2,
            compressed,
        };
        Sizes {
            role: "worker".to_owned(),
            slot,
            budget: 90 * MIB,
            initramfs: MIB,
            installed: 0,
            overhead: MIB,
            components: vec![share("kubernetes-node", 60 * MIB), share("containerd", 30 * MIB)],
            files: Vec::new(),
        }
    }

    #[test]
    fn a_slot_within_its_budget_passes() {
        sizes(90 * MIB).check().unwrap();
    }

    #[test]
    fn a_breach_of_the_budget_names_the_largest_components() {
        let error = sizes(91 * MIB + MIB / 2).check().unwrap_err().to_string();
        assert_eq!(
            error,
            "the slot of role worker has 91.5 MiB, 1.5 MiB more than its budget of 90.0 MiB; \
             the largest components: kubernetes-node 60.0 MiB, containerd 30.0 MiB"
        );
    }
}
