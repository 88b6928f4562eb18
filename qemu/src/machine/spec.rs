//! What a machine is made of, as the lab's caller says it.
//!
//! Nothing in it has to do with what runs inside: a kernel, a command line, disks in an order, a card. It is written
//! down in the lab's directory, so a start years later is the same start.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Mac;

/// A disk of a machine. The guest sees them in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Disk {
    /// The image; a relative path is one in the machine's own directory.
    pub path: PathBuf,
    /// Whether the guest may only read it.
    #[serde(default)]
    pub read_only: bool,
    /// If there is no such file: make a sparse one of this many bytes.
    #[serde(default)]
    pub create_bytes: Option<u64>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineSpec {
    /// Unique in its lab.
    pub name: String,
    /// A User-mode Linux binary or a bzImage, as the driver wants it.
    pub kernel: PathBuf,
    /// The initial RAM file system.
    pub initramfs: PathBuf,
    /// The kernel's command line, but for what the driver adds.
    pub cmdline: String,
    /// The disks.
    pub disks: Vec<Disk>,
    /// Its memory.
    pub memory_mib: u32,
    /// Its network card.
    pub mac: Mac,
    /// The address that is reserved for it.
    pub address: Ipv4Addr,
    /// The host CPU that it stays on.
    #[serde(default)]
    pub cpu: Option<usize>,
}
