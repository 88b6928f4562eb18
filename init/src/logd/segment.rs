//! Files of blocks: how they are named, listed and read back.
//!
//! A service's lines are in a directory of segments, numbered without gaps; memory (tmpfs) and
//! disk have the same format. Writing is in `ring` and `disk`. In memory a segment's file is used again for a
//! later one, pages and all: what is left in it of before is known by its lower numbers, and
//! whoever reads along is told by the service's `oldest` when it has been taken away.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{self, HEADER, Header, PREFIX};
use super::board::Service;
use super::record::BootId;

/// What is read at once; who asks about all services holds this of each.
const CHUNK: usize = 16 * 1024;

/// No segment has this number or a higher one: it would not fit into a packed head. A file that says so is none of ours.
const NUMBER_MAX: u64 = 1 << 40;

/// The name of segment `number` in `directory`.
#[must_use]
pub fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}.log"))
}

/// The numbers of the segments in `directory`, in order; none if there is no directory.
///
/// # Errors
/// Those of reading a directory.
pub fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".log"));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        numbers.extend(number.filter(|number| *number < NUMBER_MAX));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What comes next in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A block; its text is [`Reader::text`].
    Block(Header),
    /// So far there is no more. What may follow here is a block that is being written, or torn.
    End,
}

/// A segment that is read from front to back.
#[derive(Debug)]
pub struct Reader {
    file: File,
    boot: BootId,
    /// Where in the file `held` begins.
    base: u64,
    held: Vec<u8>,
    /// Where in `held` the next block begins.
    at: usize,
    /// The text of the latest block.
    text: std::ops::Range<usize>,
    /// No line of it has a lower number; what does is left over of an earlier segment.
    next: u64,
    spoiled: u64,
    /// For one in memory: its number, and who knows whether it is still there.
    lease: Option<(u64, Arc<Service>)>,
}

impl Reader {
    /// Opens a segment; nothing if it is none (its beginning is torn).
    ///
    /// # Errors
    /// Those of open(2) and read(2).
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let mut prefix = [0; PREFIX];
        if read_up_to(&file, &mut prefix, 0)? < PREFIX {
            return Ok(None);
        }
        Ok(block::read_prefix(&prefix).map(|(boot, next)| Self {
            file,
            boot,
            base: PREFIX as u64,
            held: Vec::new(),
            at: 0,
            text: 0..0,
            next,
            spoiled: 0,
            lease: None,
        }))
    }

    /// Opens segment `number` in the memory of `service`, which may be taken away at any time.
    ///
    /// # Errors
    /// Those of open(2) and read(2).
    pub fn open_leased(service: &Arc<Service>, number: u64) -> io::Result<Option<Self>> {
        let reader = Self::open(&path(&service.memory, number))?;
        let reader = reader.map(|reader| Self { lease: Some((number, Arc::clone(service))), ..reader });
        // What was read of it so far may be of its successor.
        Ok(reader.filter(|reader| !reader.is_taken()))
    }

    /// Whether the segment was taken away: then what is read from it now is nothing of it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.lease.as_ref().is_some_and(|(number, service)| service.oldest() > *number)
    }

    /// The boot that it is of.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// Where the next block begins: all before is whole.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// How many spoiled places were skipped.
    #[must_use]
    pub fn spoiled(&self) -> u64 {
        self.spoiled
    }

    /// The text of the block that came last.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.held.get(self.text.clone()).unwrap_or_default()
    }

    /// The next block. Spoiled ones are skipped; after [`Next::End`] it may be asked again.
    ///
    /// # Errors
    /// Those of read(2).
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator's end is one; this one may go on behind it"
    )]
    pub fn next(&mut self) -> io::Result<Next> {
        let (begun, spoiled) = (self.offset(), self.spoiled);
        while let Some(bytes) = self.hold(HEADER)?.and_then(|bytes| bytes.first_chunk::<HEADER>()) {
            let Some(header) = Header::decode(bytes) else {
                if self.search()? {
                    continue;
                }
                break;
            };
            if header.first < self.next {
                break;
            }
            let Some(whole) = self.hold(header.span())? else { break };
            let good = header.fits(whole.get(HEADER..).unwrap_or_default());
            self.text = self.at + HEADER..self.at + header.span();
            self.at += header.span();
            if good && !self.is_taken() {
                self.next = header.next();
                return Ok(Next::Block(header));
            }
            self.spoiled += 1;
        }
        // Nothing has moved: what is not whole, or was left over, is looked at anew next time. Nor
        // does a reader that waits for more hold memory meanwhile.
        (self.base, self.spoiled) = (begun, spoiled);
        (self.at, self.text, self.held) = (0, 0..0, Vec::new());
        Ok(Next::End)
    }

    /// At least `need` bytes from the next block's beginning on, if there are so many.
    fn hold(&mut self, need: usize) -> io::Result<Option<&[u8]>> {
        if self.held.len() - self.at < need {
            self.held.drain(..self.at);
            self.base += self.at as u64;
            (self.at, self.text) = (0, 0..0);
            let have = self.held.len();
            self.held.resize(have + need.max(CHUNK), 0);
            let read = read_up_to(&self.file, &mut self.held[have..], self.base + have as u64);
            self.held.truncate(have + *read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(self.held.get(self.at..self.at + need))
    }

    /// Goes to where the next header may be; false if that is not in sight, and then nothing has moved.
    fn search(&mut self) -> io::Result<bool> {
        let mut from = 1;
        loop {
            let held = self.held.get(self.at..).unwrap_or_default();
            if let Some(found) = block::resume(held, from) {
                self.at += found;
                self.spoiled += 1;
                return Ok(true);
            }
            from = held.len().saturating_sub(3).max(1);
            let more = held.len() + 1;
            if self.hold(more)?.is_none() {
                return Ok(false);
            }
        }
    }
}

/// Reads until `buffer` is full or the file has ended.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What a directory of segments ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The last segment.
    pub segment: u64,
    /// Its boot, if its beginning is whole.
    pub boot: Option<BootId>,
    /// How many of its bytes are whole.
    pub length: u64,
    /// The last whole block of that boot, which may be in an earlier segment.
    pub last: Option<Header>,
    /// Lower numbers are not read in the last segment, even if blocks before it are spoiled.
    pub next: u64,
}

/// Reads how `directory` ends: the place from which writing goes on. Nothing is changed.
///
/// # Errors
/// Those of reading files.
pub fn tail(directory: &Path) -> io::Result<Option<Tail>> {
    let numbers = list(directory)?;
    let mut tail: Option<Tail> = None;
    for segment in numbers.into_iter().rev() {
        let mut reader = Reader::open(&path(directory, segment))?;
        let mut last = None;
        if let Some(reader) = &mut reader {
            while let Next::Block(header) = reader.next()? {
                last = Some(header);
            }
        }
        let (boot, length, next) = match &reader {
            Some(reader) => (Some(reader.boot), reader.offset(), reader.next),
            None => (None, 0, 0),
        };
        let known = tail.get_or_insert(Tail { segment, boot, length, last, next });
        known.boot = known.boot.or(boot);
        if boot != known.boot {
            break;
        }
        known.last = known.last.or(last);
        if known.last.is_some() {
            break;
        }
    }
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logd::ring::Ring;

    const BOOT: BootId = BootId([7; 16]);

    /// A segment with three blocks, and where each ends.
    fn written(directory: &Path) -> (PathBuf, Vec<usize>) {
        let mut ring = Ring::open(directory, BOOT).unwrap();
        let mut ends = Vec::new();
        for text in [&b"one\n"[..], b"two\ntwo\n", b"three\n"] {
            let lines = u32::try_from(text.iter().filter(|byte| **byte == b'\n').count()).unwrap();
            ring.append(Header { lines, ..Header::default() }, text).unwrap();
            ends.push(usize::try_from(fs::metadata(path(directory, 0)).unwrap().len()).unwrap());
        }
        (path(directory, 0), ends)
    }

    fn numbers(path: &Path) -> (Vec<u64>, u64) {
        let Some(mut reader) = Reader::open(path).unwrap() else { return (Vec::new(), 0) };
        let mut numbers = Vec::new();
        while let Next::Block(header) = reader.next().unwrap() {
            numbers.extend(header.split(reader.text()).map(|(number, _)| number));
        }
        (numbers, reader.spoiled())
    }

    #[test]
    fn a_file_that_is_numbered_as_no_segment_can_be_is_none() {
        let dir = tempfile::tempdir().unwrap();
        for number in [3, NUMBER_MAX, u64::MAX] {
            fs::write(path(dir.path(), number), "").unwrap();
        }
        assert_eq!(list(dir.path()).unwrap(), [3]);
    }

    #[test]
    fn a_power_cut_at_any_byte_leaves_every_whole_block_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, ends) = written(dir.path());
        let bytes = fs::read(&path).unwrap();
        let lines_at = [0, 1, 3, 4];
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(numbers(&path), ((0..lines_at[whole]).collect(), 0), "cut at {cut}");
            let tail = tail(dir.path()).unwrap().unwrap();
            let length = if cut < PREFIX { 0 } else { ends[..whole].last().copied().unwrap_or(PREFIX) };
            assert_eq!(tail.length, length as u64, "cut at {cut}");
        }
    }

    #[test]
    fn any_spoiled_byte_costs_one_block_at_most_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let (path, ends) = written(dir.path());
        let bytes = fs::read(&path).unwrap();
        for at in PREFIX..ends[1] {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 0x55;
            fs::write(&path, &spoiled).unwrap();
            let expected = if at < ends[0] { vec![1, 2, 3] } else { vec![0, 3] };
            assert_eq!(numbers(&path), (expected, 1), "spoiled at {at}");
        }
    }

    #[test]
    fn what_is_left_over_in_a_file_that_is_used_again_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(dir.path(), BOOT).unwrap();
        let say = |ring: &mut Ring, text: &[u8]| {
            ring.append(Header { lines: 1, ..Header::default() }, text).unwrap()
        };
        let long = [&[b'x'; 60_000][..], b"\n"].concat();
        for _ in 0..4 {
            say(&mut ring, &long);
        }
        ring.let_go();
        for _ in 4..6 {
            say(&mut ring, b"short\n");
        }
        say(&mut ring, &long);
        let newest = path(dir.path(), ring.head().0);
        assert!(fs::metadata(&newest).unwrap().len() > 100_000, "its file was used before");
        let first = numbers(&newest).0;
        assert_eq!(first.last(), Some(&6));
        assert!(first.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert_eq!(tail(dir.path()).unwrap().unwrap().last.unwrap().first, 6);
    }

    #[test]
    fn whoever_reads_along_gets_a_block_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (path, ends) = written(dir.path());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..ends[0] + 30]).unwrap();
        let mut reader = Reader::open(&path).unwrap().unwrap();
        assert!(matches!(reader.next().unwrap(), Next::Block(_)));
        assert_eq!(reader.next().unwrap(), Next::End);
        fs::write(&path, &bytes).unwrap();
        let Next::Block(header) = reader.next().unwrap() else { panic!() };
        assert_eq!((header.first, reader.text()), (1, &b"two\ntwo\n"[..]));
    }
}
