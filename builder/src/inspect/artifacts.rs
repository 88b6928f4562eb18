//! A directory of a role's artifacts: that its parts belong together, and how large they are.
//!
//! The index must name the root hash and the hash offset that the slot image really has; each
//! part by itself is `slot`'s and `initramfs`' to check. How the directory comes to be is
//! `emit::publish`'s, budgets are `size`'s: here they are only shown.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use image_format::manifest::Manifest;
use serde::Serialize;

use super::{InitramfsReport, SlotReport};
use crate::emit::{self, Artifacts};
use crate::size::{self, Sizes};

/// What a directory of artifacts holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ArtifactsReport {
    /// Its index.
    pub index: Artifacts,
    /// The slot image, checked.
    pub slot: SlotReport,
    /// The initramfs.
    pub initramfs: InitramfsReport,
    /// The size report made with it.
    pub sizes: Sizes,
    /// Kernels that the index names and that are there.
    pub kernels: Vec<String>,
}

impl ArtifactsReport {
    /// Reads a directory and checks that index, slot and manifest are of one image.
    pub(super) fn read(directory: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
        };
        let open = |name: &str| {
            let path = directory.join(name);
            std::fs::File::open(&path).with_context(|| format!("opening {}", path.display()))
        };
        let index = Artifacts::from_json(&read(emit::INDEX)?).context("parsing the index")?;
        let slot =
            SlotReport::read(&open(&index.slot)?).with_context(|| format!("looking into {}", index.slot))?;
        ensure!(
            slot.root_hash == index.root_hash && slot.hash_offset == index.hash_offset,
            "the index is of another slot: it says root hash {}, the slot has {}",
            index.root_hash,
            slot.root_hash
        );
        ensure!(
            slot.image.role == index.role && slot.image.version == index.version,
            "the index says {} {}, the slot {} {}",
            index.role,
            index.version,
            slot.image.role,
            slot.image.version
        );
        let manifest = Manifest::from_json(&read(emit::MANIFEST)?)?;
        let listed: Vec<&str> = manifest.iter().map(|(path, _)| path.as_str()).collect();
        ensure!(
            slot.files.iter().map(|entry| entry.path.as_str()).eq(listed),
            "{} and the slot list different files",
            emit::MANIFEST
        );
        let initramfs = InitramfsReport::read(&open(&index.initramfs)?)
            .with_context(|| format!("looking into {}", index.initramfs))?;
        let sizes = serde_json::from_slice(&read(size::FILE)?).context("parsing the size report")?;
        let kernels = [&index.kernel.x86_64, &index.kernel.um];
        let kernels = kernels.into_iter().filter(|path| directory.join(path).is_file()).cloned().collect();
        Ok(Self { index, slot, initramfs, sizes, kernels })
    }

    pub(super) fn text(&self, all: bool) -> String {
        let kernels = if self.kernels.is_empty() { "none built".to_owned() } else { self.kernels.join(", ") };
        format!(
            "{}\n{}\ncommand line {}\nkernels      {kernels}\n\n{}\n",
            self.slot.text(all),
            self.initramfs.text(),
            self.index.cmdline,
            self.sizes.table()
        )
    }
}
