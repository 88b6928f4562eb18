//! Disks of machines: a GPT with ext4 in its partitions, or one bare ext4.
//!
//! Read with ext4-view, which replays a journal in memory: a disk of a machine that was cut off can
//! be read, and is not changed by it. A running machine writes meanwhile, so what is read of its
//! disk may be torn; that is an error of reading then, or an old state, never a change.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow};
use ext4_view::{Ext4, Ext4Read};
use serde::Serialize;

use super::entry::{Entry, Kind, lines};

/// The partition whose files are few and tell most about a machine.
const STATE: &str = "slipway-state";

/// Deepest directory that is listed.
const DEPTH_MAX: usize = 64;

/// A partitioned disk.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskReport {
    /// Its partitions, in the table's order.
    pub partitions: Vec<PartitionReport>,
}

/// One partition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionReport {
    /// Its number in the table.
    pub number: u32,
    /// Its name in the table.
    pub name: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// What is in it.
    pub contents: Contents,
}

/// What is in a partition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// An ext4 file system.
    Ext4(FileSystemReport),
    /// Something else, or a file system that cannot be read; the reason.
    Unreadable(String),
}

/// An ext4 file system.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileSystemReport {
    /// Its label.
    pub label: String,
    /// Its UUID.
    pub uuid: String,
    /// Its files.
    pub files: Vec<Entry>,
}

/// A part of a file that ext4-view takes for a disk.
struct Window {
    file: Rc<File>,
    offset: u64,
}

impl Ext4Read for Window {
    fn read(&mut self, at: u64, to: &mut [u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let at = self.offset.checked_add(at).ok_or("an offset beyond all disks")?;
        Ok(self.file.read_exact_at(to, at)?)
    }
}

impl DiskReport {
    pub(super) fn read(file: &File) -> Result<Self> {
        let table = gptman::GPT::find_from(&mut &*file).context("reading the partition table")?;
        let mut partitions = Vec::new();
        for (number, partition) in table.iter().filter(|(_, partition)| partition.is_used()) {
            let range = table
                .get_partition_byte_range(number)
                .with_context(|| format!("reading the bounds of partition {number}"))?;
            let contents = match FileSystemReport::read(file, *range.start()) {
                Ok(report) => Contents::Ext4(report),
                Err(error) => Contents::Unreadable(format!("{error:#}")),
            };
            partitions.push(PartitionReport {
                number,
                name: partition.partition_name.as_str().to_owned(),
                offset: *range.start(),
                size: range.end().saturating_sub(*range.start()).saturating_add(1),
                contents,
            });
        }
        Ok(Self { partitions })
    }

    pub(super) fn text(&self, all: bool) -> String {
        let mut text = format!("disk with {} partitions\n", self.partitions.len());
        for partition in &self.partitions {
            let PartitionReport { number, name, offset, size, contents } = partition;
            text.push_str(&format!("\npartition {number} {name:?}: {size} bytes at {offset}\n"));
            match contents {
                Contents::Ext4(report) => text.push_str(&report.text(all || name == STATE)),
                Contents::Unreadable(reason) => text.push_str(&format!("  not readable as ext4: {reason}\n")),
            }
        }
        text
    }
}

impl FileSystemReport {
    /// Reads the file system that begins at `offset`.
    pub(super) fn read(file: &File, offset: u64) -> Result<Self> {
        let file = Rc::new(file.try_clone().context("duplicating a file descriptor")?);
        let ext4 = Ext4::load(Box::new(Window { file, offset })).context("reading ext4")?;
        let label = ext4.label().to_str().map_or_else(|_| "not UTF-8".to_owned(), str::to_owned);
        let uuid = ext4.uuid().to_string();
        let mut files = Vec::new();
        list(&ext4, "/", 0, &mut files)?;
        Ok(Self { label, uuid, files })
    }

    pub(super) fn text(&self, all: bool) -> String {
        let Self { label, uuid, files } = self;
        let mut text = format!("ext4 {label:?}, UUID {uuid}, {} files\n", files.len());
        if all {
            text.push_str(&lines(files));
        }
        text
    }
}

/// Adds what is below `directory`, by name.
fn list(ext4: &Ext4, directory: &str, depth: usize, files: &mut Vec<Entry>) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(anyhow!("{directory} lies deeper than {DEPTH_MAX} directories"));
    }
    let listing = || format!("listing {directory}");
    let mut names = Vec::new();
    for entry in ext4.read_dir(directory).with_context(listing)? {
        let name = entry.with_context(listing)?.file_name().display().to_string();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    for name in names {
        let path = format!("{}/{name}", directory.trim_end_matches('/'));
        let reading = || format!("reading {path}");
        let metadata = ext4.symlink_metadata(path.as_str()).with_context(reading)?;
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_regular_file() => Kind::File,
            kind if kind.is_symlink() => Kind::Symlink,
            _ => Kind::Special,
        };
        let target = match kind {
            Kind::Symlink => Some(ext4.read_link(path.as_str()).with_context(reading)?.display().to_string()),
            _ => None,
        };
        files.push(Entry {
            path: path.clone(),
            kind,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            size: metadata.len(),
            target,
        });
        if kind == Kind::Directory {
            list(ext4, &path, depth + 1, files)?;
        }
    }
    Ok(())
}
