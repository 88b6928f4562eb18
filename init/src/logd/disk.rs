//! A service's lines on disk: segments again, bounded, kept over reboots.
//!
//! Blocks are appended as they are in memory. A write that fails leaves nothing behind that
//! would hide what follows; a torn end, from a power cut, is cut off when the directory is opened.
//! When to write, and what to do when it fails, is `keeper`'s.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::block;
use super::record::BootId;
use super::{ring, segment};

/// Segments that a service's share of the disk is divided into: what goes at once is an eighth.
const PARTS: u64 = 8;

/// The writing end.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    boot: BootId,
    file: Option<File>,
    /// The most bytes of a segment, and how many there may be.
    segment: u64,
    segments: u64,
    newest: u64,
    length: u64,
}

impl Disk {
    /// Goes on where the last process ended, and tells the next line's number if that was in this boot.
    ///
    /// # Errors
    /// Those of reading and writing the directory.
    pub fn open(directory: &Path, bytes: u64, boot: BootId) -> io::Result<(Self, Option<u64>)> {
        fs::create_dir_all(directory)?;
        let segment = (bytes / PARTS).max(ring::SEGMENT * 2);
        let mut disk = Self {
            directory: directory.to_owned(),
            boot,
            file: None,
            segment,
            segments: (bytes / segment).max(1),
            newest: 0,
            length: 0,
        };
        let Some(tail) = segment::tail(directory)? else { return Ok((disk, None)) };
        disk.newest = tail.segment + 1;
        let path = segment::path(directory, tail.segment);
        // A segment without a block is torn, or begins with who knows what number: nobody misses it.
        if tail.length <= block::PREFIX as u64 {
            fs::remove_file(path)?;
            return Ok((disk, tail.last.filter(|_| tail.boot == Some(boot)).map(|last| last.next())));
        }
        let file = OpenOptions::new().append(true).open(path)?;
        if file.metadata()?.len() > tail.length {
            file.set_len(tail.length)?;
        }
        if tail.boot != Some(boot) {
            return Ok((disk, None));
        }
        (disk.file, disk.newest, disk.length) = (Some(file), tail.segment, tail.length);
        Ok((disk, tail.last.map(|last| last.next())))
    }

    /// Appends whole blocks.
    ///
    /// # Errors
    /// Those of write(2); then none of them is there.
    pub fn append(&mut self, blocks: &[u8]) -> io::Result<()> {
        if self.file.is_none() || self.length + blocks.len() as u64 > self.segment {
            self.rotate()?;
        }
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        if let Err(error) = file.write_all(blocks) {
            if file.set_len(self.length).is_err() {
                // What cannot be taken back is skipped by readers; what follows begins elsewhere.
                self.file = None;
                self.newest += 1;
            }
            return Err(error);
        }
        self.length += blocks.len() as u64;
        Ok(())
    }

    /// Waits until what was written is on the medium.
    ///
    /// # Errors
    /// Those of fdatasync(2).
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let number = if self.file.is_some() { self.newest + 1 } else { self.newest };
        for old in segment::list(&self.directory)? {
            if old + self.segments <= number {
                fs::remove_file(segment::path(&self.directory, old))?;
            }
        }
        let path = segment::path(&self.directory, number);
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        if let Err(error) = file.write_all(&block::prefix(self.boot, 0)) {
            fs::remove_file(&path)?;
            return Err(error);
        }
        (self.file, self.newest, self.length) = (Some(file), number, block::PREFIX as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logd::block::{HEADER, Header};

    const BOOT: BootId = BootId([3; 16]);

    fn block(first: u64, length: usize) -> Vec<u8> {
        let mut text = vec![b'y'; length];
        text.push(b'\n');
        let header = Header { lines: 1, first, ..Header::default() }.over(&text);
        [&header.encode()[..], &text].concat()
    }

    fn size(directory: &Path) -> u64 {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn a_service_never_takes_more_than_its_share() {
        let dir = tempfile::tempdir().unwrap();
        let share = 1024 * 1024;
        let (mut disk, _) = Disk::open(dir.path(), share, BOOT).unwrap();
        for n in 0..300 {
            disk.append(&block(n, 20_000)).unwrap();
            assert!(size(dir.path()) <= share);
        }
        assert!(size(dir.path()) > share / 2);
    }

    #[test]
    fn it_goes_on_in_the_same_boot_and_begins_a_segment_in_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, next) = Disk::open(dir.path(), 1 << 20, BOOT).unwrap();
        assert_eq!(next, None);
        disk.append(&block(0, 10)).unwrap();
        let (mut disk, next) = Disk::open(dir.path(), 1 << 20, BOOT).unwrap();
        assert_eq!(next, Some(1));
        disk.append(&block(1, 10)).unwrap();
        assert_eq!(segment::list(dir.path()).unwrap(), [0]);
        let (mut disk, next) = Disk::open(dir.path(), 1 << 20, BootId([4; 16])).unwrap();
        assert_eq!(next, None);
        disk.append(&block(0, 10)).unwrap();
        assert_eq!(segment::list(dir.path()).unwrap(), [0, 1]);
    }

    #[test]
    fn a_segment_without_a_block_is_not_gone_on_with_whatever_number_it_begins_with() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment::path(dir.path(), 7), block::prefix(BOOT, 1000)).unwrap();
        let (mut disk, next) = Disk::open(dir.path(), 1 << 20, BOOT).unwrap();
        assert_eq!(next, None);
        disk.append(&block(0, 10)).unwrap();
        assert_eq!(segment::tail(dir.path()).unwrap().unwrap().last.unwrap().first, 0);
    }

    #[test]
    fn after_a_power_cut_at_any_byte_of_the_last_block_writing_goes_on_behind_the_last_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = Disk::open(dir.path(), 1 << 20, BOOT).unwrap();
        disk.append(&block(0, 10)).unwrap();
        disk.append(&block(1, 10)).unwrap();
        let path = segment::path(dir.path(), 0);
        let bytes = fs::read(&path).unwrap();
        for cut in bytes.len() - HEADER - 11..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let (mut disk, next) = Disk::open(dir.path(), 1 << 20, BOOT).unwrap();
            assert_eq!(next, Some(1), "cut at {cut}");
            disk.append(&block(1, 10)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes, "cut at {cut}");
        }
        // Zeros are what a file system may leave of a block that was not written.
        fs::write(&path, [&bytes[..bytes.len() - 50], &[0; 50]].concat()).unwrap();
        assert_eq!(Disk::open(dir.path(), 1 << 20, BOOT).unwrap().1, Some(1));
    }
}
