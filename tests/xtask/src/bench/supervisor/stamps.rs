//! What services stamp when they begin: a file of records that only grows.
//!
//! The other side is tests/stamp.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The bytes of a record.
const RECORD: usize = 16;

/// One process's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub at: u64,
    /// The service's number.
    pub number: u32,
    /// The process's pid in its room.
    pub pid: u32,
}

/// The file, and what was read of it.
#[derive(Debug)]
pub struct Stamps {
    path: PathBuf,
    read: Vec<Stamp>,
}

impl Stamps {
    /// Of a file that exists.
    pub fn of(path: PathBuf) -> Self {
        Self { path, read: Vec::new() }
    }

    /// All stamps up to now, in the order in which they were written.
    pub fn read(&mut self) -> Result<&[Stamp]> {
        let reading = || format!("reading {}", self.path.display());
        let mut file = File::open(&self.path).with_context(reading)?;
        file.seek(SeekFrom::Start((self.read.len() * RECORD) as u64)).with_context(reading)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(reading)?;
        self.read.extend(records(&bytes));
        Ok(&self.read)
    }
}

fn records(bytes: &[u8]) -> impl Iterator<Item = Stamp> {
    bytes.chunks_exact(RECORD).filter_map(|record| {
        Some(Stamp {
            at: u64::from_ne_bytes(*record.first_chunk()?),
            number: u32::from_ne_bytes(*record.get(8..)?.first_chunk()?),
            pid: u32::from_ne_bytes(*record.get(12..)?.first_chunk()?),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_being_written_is_left_for_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stamps");
        let mut bytes =
            [7_u64.to_ne_bytes().as_slice(), &3_u32.to_ne_bytes(), &99_u32.to_ne_bytes()].concat();
        bytes.push(1);
        std::fs::write(&path, &bytes).unwrap();
        let mut stamps = Stamps::of(path.clone());
        assert_eq!(stamps.read().unwrap(), [Stamp { at: 7, number: 3, pid: 99 }]);
        bytes.pop();
        bytes.extend_from_within(..);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(stamps.read().unwrap().len(), 2);
    }
}
