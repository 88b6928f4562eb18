//! A disk in memory that takes only as much of it as is not zero.
//!
//! What is to be written to a disk is made here first, so that it can be compared with what
//! is seen there before anything is touched. Knows sectors and nothing of their meaning;
//! real devices are the storage agent's.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes of a sector: the smallest piece that a disk writes.
pub const SECTOR: usize = 512;

/// A sector's content.
pub type Sector = [u8; SECTOR];

/// A disk of zeros, but for what was written to it.
#[derive(Debug, Clone)]
pub struct Sparse {
    size: u64,
    at: u64,
    sectors: BTreeMap<u64, Sector>,
}

impl Sparse {
    /// A disk of `size` zeros.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { size, at: 0, sectors: BTreeMap::new() }
    }

    /// The sectors that were written, by their first byte's place.
    pub fn sectors(&self) -> impl Iterator<Item = (u64, &Sector)> {
        self.sectors.iter().map(|(number, sector)| (number.saturating_mul(SECTOR as u64), sector))
    }

    /// The sector that begins at `at`, if it was written.
    #[must_use]
    pub fn sector(&self, at: u64) -> Option<&Sector> {
        match place(at) {
            (number, 0) => self.sectors.get(&number),
            _ => None,
        }
    }

    /// Puts `bytes` at `at`; zeros onto zeros take no space.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        let mut at = at;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (number, offset) = place(at);
            let (now, later) = rest.split_at(rest.len().min(SECTOR.saturating_sub(offset)));
            let is_zero = now.iter().all(|byte| *byte == 0);
            if !is_zero || self.sectors.contains_key(&number) {
                let sector = self.sectors.entry(number).or_insert([0; SECTOR]);
                sector.iter_mut().skip(offset).zip(now).for_each(|(to, from)| *to = *from);
            }
            at = at.saturating_add(now.len() as u64);
            rest = later;
        }
    }
}

/// The sector of a byte, and where in it the byte is.
fn place(at: u64) -> (u64, usize) {
    let sector = SECTOR as u64;
    (at / sector, usize::try_from(at % sector).unwrap_or(0))
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let (number, offset) = place(self.at);
        let length = buffer.len().min(SECTOR.saturating_sub(offset)).min(left);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        match self.sectors.get(&number).and_then(|sector| sector.get(offset..)) {
            Some(from) => buffer.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
            None => buffer.fill(0),
        }
        self.at = self.at.saturating_add(length as u64);
        Ok(length)
    }
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..bytes.len().min(left)).unwrap_or_default();
        self.put(self.at, bytes);
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("seeking before the beginning"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_is_zero() {
        let mut disk = Sparse::new(4096);
        disk.seek(SeekFrom::Start(510)).unwrap();
        disk.write_all(b"over the edge").unwrap();
        disk.seek(SeekFrom::End(-4096)).unwrap();
        let mut all = Vec::new();
        disk.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 4096);
        assert_eq!(&all[510..523], b"over the edge");
        assert_eq!(all.iter().filter(|byte| **byte != 0).count(), 13);
        assert_eq!(disk.sectors().map(|(at, _)| at).collect::<Vec<_>>(), [0, 512]);
    }

    #[test]
    fn a_full_disk_takes_no_more() {
        let mut disk = Sparse::new(512);
        disk.seek(SeekFrom::Start(510)).unwrap();
        assert!(disk.write_all(b"four").is_err());
        assert!(disk.seek(SeekFrom::Current(-513)).is_err());
    }
}
