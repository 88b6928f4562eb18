//! What `slipway build` made for a role, as the lab needs it: files and a command line.
//!
//! Reads the index that `emit` writes, and only the fields that a lab needs: the index may grow. Relative paths in it
//! are relative to its own directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use machine_config::Role;
use serde::Deserialize;

/// `artifacts.json`, the fields a lab needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Index {
    slot: PathBuf,
    initramfs: PathBuf,
    kernel: Kernels,
    cmdline: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kernels {
    #[serde(rename = "x86-64")]
    x86_64: PathBuf,
    um: PathBuf,
}

/// A role's image, all paths absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    /// The slot image.
    pub slot: PathBuf,
    /// Stage 1.
    pub initramfs: PathBuf,
    /// For QEMU.
    pub kernel: PathBuf,
    /// For User-mode Linux.
    pub uml_kernel: PathBuf,
    /// The kernel's command line, the root hash on it.
    pub cmdline: String,
}

impl Artifacts {
    /// The artifacts of `role` below `images`.
    ///
    /// # Errors
    /// They were not built.
    pub fn read(images: &Path, role: Role) -> Result<Self> {
        let directory = images.join(role.as_str());
        let path = directory.join("artifacts.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {} (make it with: slipway build {role})", path.display()))?;
        let index = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        let directory = std::path::absolute(&directory)
            .with_context(|| format!("finding the directory {}", directory.display()))?;
        Ok(Self::in_directory(&directory, index))
    }

    fn in_directory(directory: &Path, index: Index) -> Self {
        Self {
            slot: directory.join(index.slot),
            initramfs: directory.join(index.initramfs),
            kernel: directory.join(index.kernel.x86_64),
            uml_kernel: directory.join(index.kernel.um),
            cmdline: index.cmdline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_becomes_absolute_paths() {
        let images = tempfile::tempdir().unwrap();
        let directory = images.path().join("lb");
        std::fs::create_dir(&directory).unwrap();
        let index = r#"{"role":"lb","version":"0.1.0","root-hash":"ab","hash-offset":4096,"slot":"slot.img",
            "initramfs":"initramfs.cpio.zst","kernel":{"x86-64":"../kernel/vmlinuz","um":"../kernel/linux-um"},
            "cmdline":"slipway.root=ab panic=10"}"#;
        std::fs::write(directory.join("artifacts.json"), index).unwrap();
        let artifacts = Artifacts::read(images.path(), Role::Lb).unwrap();
        assert_eq!(artifacts.slot, directory.join("slot.img"));
        assert_eq!(artifacts.uml_kernel, directory.join("../kernel/linux-um"));
        assert_eq!(artifacts.cmdline, "slipway.root=ab panic=10");
    }

    #[test]
    fn a_role_that_was_not_built_says_how_to_build_it() {
        let images = tempfile::tempdir().unwrap();
        let error = Artifacts::read(images.path(), Role::Worker).unwrap_err();
        assert!(format!("{error:#}").contains("slipway build worker"));
    }
}
