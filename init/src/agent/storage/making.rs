//! Makes a blank disk ours: performs the strokes of `disk::making`, one after the other.
//!
//! No order and no byte is decided here. Each sync is the kernel's word that everything so far
//! is on the disk; an error anywhere ends the agent, and its next start goes on from what it
//! finds.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use node_sys::{block, host};

use super::{StorageError, device, find_partition, format, version_4};
use crate::disk::claim::{Claim, Stage};
use crate::disk::making::{Stroke, strokes};
use crate::disk::table::Table;
use crate::disk::volume::{Making, Verdict};

/// Claims a blank disk and makes it ours.
pub(super) fn begin(disk: &Path) -> Result<(), StorageError> {
    let file = File::open(disk).map_err(device("opening", disk))?;
    let bytes = block::size(&file).map_err(device("measuring", disk))?;
    let sector_bytes = block::sector_size(&file).map_err(device("measuring", disk))?;
    let guid = || -> Result<[u8; 16], StorageError> {
        Ok(version_4(host::random().map_err(device("drawing a GUID for", disk))?))
    };
    let claim = Claim { bytes, sector_bytes, guids: [guid()?, guid()?, guid()?] };
    carry_out(disk, &claim, Stage::Blank)
}

/// Does what is left to do under `claim`.
pub(super) fn carry_out(disk: &Path, claim: &Claim, stage: Stage) -> Result<(), StorageError> {
    let table =
        Table::of(claim).map_err(|source| StorageError::Partition { path: disk.to_owned(), source })?;
    let mut file = File::options().read(true).write(true).open(disk).map_err(device("opening", disk))?;
    for stroke in strokes(claim, &table, stage) {
        match stroke {
            Stroke::Write { at, bytes } => {
                file.seek(SeekFrom::Start(at)).map_err(device("seeking in", disk))?;
                file.write_all(&bytes).map_err(device("writing to", disk))?;
            }
            Stroke::Sync => file.sync_all().map_err(device("syncing", disk))?,
            Stroke::ShowPartitions => {
                block::reread_partitions(&file).map_err(device("re-reading the partitions of", disk))?;
            }
            Stroke::Format(label) => volume(disk, label)?,
        }
    }
    Ok(())
}

/// Formats a volume, unless it has come to hold something that nobody expects there.
fn volume(disk: &Path, label: &'static str) -> Result<(), StorageError> {
    let volume = find_partition(disk, label)?;
    match format::judge(&volume, label, Making::Unfinished)? {
        Verdict::Format => format::format(&volume, label),
        Verdict::Keep => Ok(()),
        Verdict::Refuse(what) => Err(StorageError::Occupied { path: volume, label, what }),
    }
}
