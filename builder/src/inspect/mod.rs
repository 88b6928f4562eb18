//! What an artifact or a disk holds, found out from its bytes: no root, no mount, no loop device.
//!
//! [`look`] tells what a path is by its magic numbers; `slot`, `initramfs`, `disk` and `artifacts` read one
//! kind each into a report. A report is data with a text for people; an artifact that is not
//! what it claims is an error, not a report.

mod artifacts;
mod disk;
mod entry;
mod initramfs;
mod slot;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

pub use self::artifacts::ArtifactsReport;
pub use self::disk::{DiskReport, FileSystemReport, PartitionReport};
pub use self::entry::{Entry, Kind};
pub use self::initramfs::InitramfsReport;
pub use self::slot::SlotReport;

/// What was found at a path.
#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Report {
    /// A directory of a role's artifacts.
    Artifacts(Box<ArtifactsReport>),
    /// A slot image.
    Slot(SlotReport),
    /// An initramfs.
    Initramfs(InitramfsReport),
    /// A partitioned disk.
    Disk(DiskReport),
    /// A bare ext4 file system, such as a config disk.
    FileSystem(FileSystemReport),
}

/// What begins a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Erofs,
    Ext4,
    Gpt,
    Zstd,
    Cpio,
}

/// Bytes that tell all forms apart.
const HEAD: u64 = 4096;

impl Form {
    fn of(head: &[u8]) -> Option<Self> {
        let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
        if has(1024, &0xE0F5_E1E2_u32.to_le_bytes()) {
            Some(Self::Erofs)
        } else if has(1024 + 56, &0xEF53_u16.to_le_bytes()) {
            Some(Self::Ext4)
        } else if has(512, b"EFI PART") {
            Some(Self::Gpt)
        } else if has(0, &0xFD2F_B528_u32.to_le_bytes()) {
            Some(Self::Zstd)
        } else if has(0, b"070701") {
            Some(Self::Cpio)
        } else {
            None
        }
    }
}

/// Looks into what is at `path`.
///
/// # Errors
/// It is nothing that we make, or it is not what it claims.
pub fn look(path: &Path) -> Result<Report> {
    if path.is_dir() {
        return Ok(Report::Artifacts(Box::new(ArtifactsReport::read(path)?)));
    }
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let reading = || format!("looking into {}", path.display());
    let mut head = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut head).with_context(reading)?;
    file.seek(SeekFrom::Start(0)).with_context(reading)?;
    match Form::of(&head) {
        Some(Form::Erofs) => SlotReport::read(&file).map(Report::Slot),
        Some(Form::Ext4) => FileSystemReport::read(&file, 0).map(Report::FileSystem),
        Some(Form::Gpt) => DiskReport::read(&file).map(Report::Disk),
        Some(Form::Zstd | Form::Cpio) => InitramfsReport::read(&file).map(Report::Initramfs),
        None => {
            bail!("it is no slot image, initramfs, disk or ext4 file system, and no directory of artifacts")
        }
    }
    .with_context(reading)
}

impl Report {
    /// The report for people; `all` lists the files of large file systems too.
    #[must_use]
    pub fn text(&self, all: bool) -> String {
        match self {
            Self::Artifacts(report) => report.text(all),
            Self::Slot(report) => report.text(all),
            Self::Initramfs(report) => report.text(),
            Self::Disk(report) => report.text(all),
            Self::FileSystem(report) => report.text(true),
        }
    }
}

#[cfg(test)]
mod tests;
