//! A service's latest lines in memory: segments on a tmpfs, bounded, the oldest make room.
//!
//! They are files and not our own memory so that they outlive us: a line that a reader could see
//! is still there after `kill -9`. Nothing is made before the first line; what the disk has
//! goes soon, and the whole never takes more than a mebibyte. Copying to disk is `keeper`'s.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::block::{self, Header};
use super::record::BootId;
use super::segment;

/// The most bytes of a segment.
pub const SEGMENT: u64 = 128 * 1024;
/// Segments that are kept when nobody else has them: a mebibyte in all.
pub const SEGMENTS: u64 = 8;
/// Segments that are kept although the disk has them: who asks for the latest lines reads no disk.
pub const SEGMENTS_COPIED: u64 = 3;

/// A segment's file that waits to be used again.
const SPARE: &str = "spare";

/// The writing end of a service's lines.
#[derive(Debug)]
pub struct Ring {
    directory: PathBuf,
    boot: BootId,
    file: Option<File>,
    /// The segment that is written, and how long it is.
    newest: u64,
    length: u64,
    oldest: u64,
    next: u64,
    bytes: u64,
    dropped: u64,
}

impl Ring {
    /// Goes on where the last process of this boot ended; what is torn is cut off, what is of another boot goes.
    ///
    /// # Errors
    /// Those of reading and writing the directory.
    pub fn open(directory: &Path, boot: BootId) -> io::Result<Self> {
        let fresh = Self {
            directory: directory.to_owned(),
            boot,
            file: None,
            newest: 0,
            length: 0,
            oldest: 0,
            next: 0,
            bytes: 0,
            dropped: 0,
        };
        let numbers = segment::list(directory)?;
        let (Some(tail), Some(oldest)) = (segment::tail(directory)?, numbers.first()) else {
            return Ok(fresh);
        };
        let Some(last) = tail.last.filter(|_| tail.boot == Some(boot)) else {
            for number in &numbers {
                fs::remove_file(segment::path(directory, *number))?;
            }
            return Ok(Self { newest: tail.segment + 1, oldest: tail.segment + 1, ..fresh });
        };
        let next = last.next().max(tail.next);
        let mut file = OpenOptions::new().write(true).open(segment::path(directory, tail.segment))?;
        file.set_len(tail.length)?;
        if tail.length == 0 {
            file.write_all(&block::prefix(boot, next))?;
        }
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file: Some(file),
            newest: tail.segment,
            length,
            oldest: *oldest,
            next,
            bytes: last.bytes,
            dropped: last.dropped,
            ..fresh
        })
    }

    /// Appends a block: fills in what the ring knows, and tells the block's header.
    ///
    /// # Errors
    /// Those of write(2), also when the tmpfs is full: then the block is not kept, and nothing of it is left.
    pub fn append(&mut self, header: Header, text: &[u8]) -> io::Result<Header> {
        // Totals come from a file: they may be anything.
        let bytes = self.bytes.saturating_add(text.len() as u64);
        let dropped = self.dropped.saturating_add(header.gone);
        let header = Header { first: self.next, bytes, dropped, ..header }.over(text);
        if self.is_full_for(text.len()) || self.file.is_none() {
            self.rotate()?;
        }
        if let Some(mut file) = self.file.as_ref()
            && let Err(error) = write_both(file, &header.encode(), text)
        {
            // What was written of it is written over by what comes next.
            file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += header.span() as u64;
        (self.next, self.bytes, self.dropped) = (header.next(), header.bytes, header.dropped);
        Ok(header)
    }

    /// Whether a text of so many bytes begins a new segment, and so may end the oldest.
    #[must_use]
    pub fn is_full_for(&self, text: usize) -> bool {
        self.file.is_some() && self.length + (block::HEADER + text) as u64 > SEGMENT
    }

    /// The segment that must go when a new one begins, if one must.
    #[must_use]
    pub fn victim(&self) -> Option<u64> {
        (self.newest - self.oldest + 1 >= SEGMENTS).then_some(self.oldest)
    }

    /// The oldest segment: all before are gone, or have become others.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Takes the oldest segment away. Its file waits to be used again, unless one does already.
    /// Nobody may read from it any more, so tell before the next block is appended.
    pub fn let_go(&mut self) {
        let old = segment::path(&self.directory, self.oldest);
        // What cannot be moved or removed is no obstacle: its number is not used again.
        let _ = fs::rename(old, self.directory.join(SPARE));
        self.oldest += 1;
    }

    /// The same, unless it is one of the latest.
    pub fn let_go_copied(&mut self) {
        if self.newest - self.oldest + 1 >= SEGMENTS_COPIED {
            self.let_go();
        }
    }

    /// The segment that is written and its length: all before is there to be read.
    #[must_use]
    pub fn head(&self) -> (u64, u64) {
        (self.newest, self.length)
    }

    /// The next line's number, the bytes kept and the lines dropped since boot.
    #[must_use]
    pub fn totals(&self) -> (u64, u64, u64) {
        (self.next, self.bytes, self.dropped)
    }

    /// The next line's number, where numbers are given by somebody else (the kernel): never a lower one.
    pub fn skip_to(&mut self, number: u64) {
        self.next = self.next.max(number);
    }

    fn rotate(&mut self) -> io::Result<()> {
        let number = if self.file.is_some() { self.newest + 1 } else { self.newest };
        if self.file.is_none() {
            fs::create_dir_all(&self.directory)?;
        }
        if number - self.oldest >= SEGMENTS {
            self.let_go();
        }
        // Its pages are there already, which is half of what writing costs. It gets its beginning
        // before its name, so that nothing that was in it before is taken for a part of it.
        let spare = self.directory.join(SPARE);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&spare)?;
        file.write_all(&block::prefix(self.boot, self.next))?;
        fs::rename(&spare, segment::path(&self.directory, number))?;
        (self.file, self.newest, self.length) = (Some(file), number, block::PREFIX as u64);
        Ok(())
    }
}

/// Writes header and text in one call, or says why not.
fn write_both(mut file: &File, header: &[u8], text: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(header), IoSlice::new(text)])?;
    if written < header.len() {
        file.write_all(header.get(written..).unwrap_or_default())?;
    }
    file.write_all(text.get(written.saturating_sub(header.len())..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::logd::segment::{Next, Reader};

    const BOOT: BootId = BootId([1; 16]);

    fn lines(count: u32) -> Header {
        Header { lines: count, ..Header::default() }
    }

    fn kept(directory: &Path) -> Vec<u64> {
        let mut numbers = Vec::new();
        for number in segment::list(directory).unwrap() {
            let mut reader = Reader::open(&segment::path(directory, number)).unwrap().unwrap();
            while let Next::Block(header) = reader.next().unwrap() {
                numbers.extend(header.first..header.next());
            }
        }
        numbers
    }

    fn size(directory: &Path) -> u64 {
        let size = |number: &u64| fs::metadata(segment::path(directory, *number)).unwrap().len();
        segment::list(directory).unwrap().iter().map(size).sum()
    }

    #[test]
    fn a_service_that_says_nothing_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("etcd");
        Ring::open(&own, BOOT).unwrap();
        assert!(!own.exists());
    }

    #[test]
    fn what_is_kept_is_read_although_blocks_before_it_were_spoiled() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (segment::path(dir.path(), 0), segment::path(dir.path(), 1));
        // Totals beyond all measure, and a last block that is gone: the second segment begins behind it.
        let header = Header { bytes: u64::MAX, dropped: u64::MAX, ..lines(1) }.over(b"a\n");
        fs::write(first, [&block::prefix(BOOT, 0)[..], &header.encode(), b"a\n"].concat()).unwrap();
        fs::write(second, block::prefix(BOOT, 9)).unwrap();
        let mut ring = Ring::open(dir.path(), BOOT).unwrap();
        ring.append(Header { gone: 7, ..lines(1) }, b"b\n").unwrap();
        assert_eq!(kept(dir.path()), [0, 9]);
    }

    #[test]
    fn after_kill_9_numbers_and_totals_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(dir.path(), BOOT).unwrap();
        ring.append(lines(2), b"a\nb\n").unwrap();
        ring.append(Header { gone: 5, ..lines(1) }, b"gone\n").unwrap();
        drop(ring);
        let mut ring = Ring::open(dir.path(), BOOT).unwrap();
        assert_eq!(ring.totals(), (3, 9, 5));
        ring.append(lines(1), b"c\n").unwrap();
        assert_eq!(kept(dir.path()), [0, 1, 2, 3]);
    }

    #[test]
    fn what_was_torn_by_kill_9_is_cut_off_and_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(dir.path(), BOOT).unwrap();
        ring.append(lines(1), b"a\n").unwrap();
        ring.append(lines(1), b"torn\n").unwrap();
        let path = segment::path(dir.path(), 0);
        let bytes = fs::read(&path).unwrap();
        for cut in block::PREFIX + block::HEADER + 2..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            Ring::open(dir.path(), BOOT).unwrap().append(lines(1), b"b\n").unwrap();
            assert_eq!(kept(dir.path()), [0, 1], "cut at {cut}");
        }
    }

    #[test]
    fn another_boots_lines_are_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        Ring::open(dir.path(), BOOT).unwrap().append(lines(1), b"old\n").unwrap();
        let mut ring = Ring::open(dir.path(), BootId([2; 16])).unwrap();
        ring.append(lines(1), b"new\n").unwrap();
        assert_eq!(kept(dir.path()), [0]);
        assert_eq!(segment::list(dir.path()).unwrap(), [1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_ring_holds_the_latest_lines_without_gaps_and_never_more_than_its_bound(
            blocks in prop::collection::vec((1..64_000_usize, any::<bool>()), 1..60),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut ring = Ring::open(dir.path(), BOOT).unwrap();
            for (n, (length, killed)) in blocks.iter().enumerate() {
                let mut text = vec![b'x'; *length];
                text.push(b'\n');
                ring.append(lines(1), &text).unwrap();
                prop_assert!(size(dir.path()) <= SEGMENT * SEGMENTS);
                if *killed {
                    ring = Ring::open(dir.path(), BOOT).unwrap();
                }
                let kept = kept(dir.path());
                prop_assert_eq!(*kept.last().unwrap(), n as u64);
                prop_assert!(kept.windows(2).all(|pair| pair[0] + 1 == pair[1]));
                prop_assert_eq!(ring.totals().0, n as u64 + 1);
            }
        }
    }
}
