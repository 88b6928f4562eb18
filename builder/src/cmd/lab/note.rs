//! What the command line remembers about a lab besides what the lab itself knows: where the images and the cluster
//! are, who has to become Ready, and when that happened.
//!
//! A file of its own beside the lab's description, because the lab knows machines and wires and no clusters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lab::LabDir;
use serde::{Deserialize, Serialize};

use crate::cluster::private_file::{self, Readers};

/// The note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Note {
    /// Where the images are, and `tools/kubectl`.
    pub images: PathBuf,
    /// The cluster's directory.
    pub cluster: PathBuf,
    /// Machines that are to become nodes.
    pub nodes: Vec<String>,
    /// Seconds from power-on until each node was seen Ready.
    #[serde(default)]
    pub ready: BTreeMap<String, f64>,
    /// Why the lab did not come up.
    #[serde(default)]
    pub failure: Option<String>,
}

impl Note {
    /// Reads the note of a lab.
    ///
    /// # Errors
    /// There is none, or it is another version's.
    pub fn read(dir: &LabDir) -> Result<Self> {
        let path = path(dir);
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, dir: &LabDir) -> Result<()> {
        let path = path(dir);
        let text = serde_json::to_vec_pretty(self).with_context(|| format!("writing {}", path.display()))?;
        private_file::write(&path, &text, Readers::Owner)
    }

    /// The `kubectl` that was built with the images.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.images.join("tools/kubectl")
    }
}

/// The kubeconfig that leads through the lab's forwarded port.
#[must_use]
pub fn kubeconfig_path(dir: &LabDir) -> PathBuf {
    dir.path().join("kube.config")
}

fn path(dir: &LabDir) -> PathBuf {
    dir.path().join("note.json")
}

/// Where logs of failed runs are kept.
#[must_use]
pub fn failed_runs(state: &Path) -> PathBuf {
    state.join("failed")
}
