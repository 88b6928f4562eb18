//! The thread that copies lines from memory to disk; the only one that a disk can stop.
//!
//! The memory ring is its queue: it goes from block to block at its own pace, and what the ring
//! had to let go before is counted by the gap in the numbers. So a /var that is not mounted yet,
//! a disk that is slow, full or dead and our own restart are all the same: go on from the last
//! line that the disk has. Nothing is ever fsynced but at the end and for a failure's lines.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use super::block::{Header, PREFIX};
use super::board::{Board, Service};
use super::disk::Disk;
use super::failure;
use super::segment::{self, Next, Reader};
use super::{boots, ring};
use crate::agent::files;

/// Between two looks when nobody rings: what a line waits at most for its way to disk.
const PAUSE: Duration = Duration::from_secs(1);
/// From a failed write to the next attempt.
const RETRY: Duration = Duration::from_secs(5);

/// When lines may go to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskIs {
    /// At once: the directory was given by whoever started us.
    There,
    /// Once what holds the directory is a mount of its own: before that it would be the image's own tmpfs.
    ThereOnceMounted,
}

/// Where a service's copy has got to.
struct Copy {
    service: Arc<Service>,
    disk: Disk,
    segment: u64,
    offset: u64,
    next: u64,
    failures: u64,
    retry: Option<Instant>,
}

/// Copies until the board says that it is the end, and then once more.
pub fn run(board: &Board, disk_is: DiskIs) {
    let mut copies: Option<Vec<Copy>> = None;
    let mut buffer = Vec::new();
    loop {
        let seen = board.work.count();
        // Asked before copying: what comes after is not waited for.
        let ending = board.ending.load(SeqCst);
        if copies.is_none() && (disk_is == DiskIs::There || is_mount(Path::new("/var"))) {
            copies = begin(board);
        }
        let mut behind = copies.is_none();
        for copy in copies.iter_mut().flatten() {
            behind |= copy.visit(board, &mut buffer).is_err();
        }
        board.set_keeping_up(!behind);
        if ending {
            for copy in copies.iter().flatten() {
                // A disk that cannot be synced now has had its chance.
                let _ = copy.disk.sync();
            }
            return;
        }
        board.work.wait(seen, PAUSE);
    }
}

/// Opens all services' directories; none of them if the disk is not in order, which is tried again.
fn begin(board: &Board) -> Option<Vec<Copy>> {
    let open = || -> io::Result<Vec<Copy>> {
        fs::create_dir_all(&board.disk)?;
        boots::note(&board.disk, board.boot)?;
        let kept = board.services.iter().filter(|service| service.disk_bytes > 0);
        kept.map(|service| Copy::open(board, Arc::clone(service))).collect()
    };
    open().ok()
}

impl Copy {
    fn open(board: &Board, service: Arc<Service>) -> io::Result<Self> {
        let directory = board.disk.join(&service.name);
        let (disk, next) = Disk::open(&directory, service.disk_bytes, board.boot)?;
        let (mut segment, mut offset) = (0, PREFIX as u64);
        // From the first block that the disk does not have.
        'found: for number in segment::list(&service.memory)? {
            (segment, offset) = (number, PREFIX as u64);
            let Some(mut reader) = Reader::open_leased(&service, number)? else { continue };
            loop {
                offset = reader.offset();
                match reader.next()? {
                    Next::Block(header) if header.first >= next.unwrap_or(0) => break 'found,
                    Next::Block(_) => {}
                    Next::End => break,
                }
            }
        }
        Ok(Self { service, disk, segment, offset, next: next.unwrap_or(0), failures: 0, retry: None })
    }

    /// Copies what there is. An error is one of the disk, and remembered until it is tried again.
    fn visit(&mut self, board: &Board, buffer: &mut Vec<u8>) -> io::Result<()> {
        if self.retry.is_some_and(|retry| Instant::now() < retry) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = self.copy(board, buffer).and_then(|()| self.keep_failures(board));
        self.retry = result.is_err().then(|| Instant::now() + RETRY);
        result
    }

    fn copy(&mut self, board: &Board, buffer: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let (newest, length) = self.service.head();
            if self.segment == newest && self.offset >= length {
                return Ok(());
            }
            let file = match File::open(segment::path(&self.service.memory, self.segment)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let there = segment::list(&self.service.memory)?;
                    let Some(next) = there.into_iter().find(|number| *number > self.segment) else {
                        return Ok(());
                    };
                    (self.segment, self.offset) = (next, PREFIX as u64);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let sealed = self.segment < newest;
            let end = if sealed { ring::SEGMENT } else { length };
            buffer.resize(ring::SEGMENT as usize, 0);
            let range = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(0);
            let read = file.read_at(buffer.get_mut(..range).unwrap_or_default(), self.offset)?;
            if self.service.oldest() > self.segment {
                // It was taken away meanwhile: what was read may be anything.
                (self.segment, self.offset) = (self.service.oldest(), PREFIX as u64);
                continue;
            }
            let written = self.write(buffer.get(..read).unwrap_or_default())?;
            self.offset += written as u64;
            board.needs_from(&self.service, if sealed { self.segment + 1 } else { self.segment });
            if sealed {
                (self.segment, self.offset) = (self.segment + 1, PREFIX as u64);
            } else if written < read || read == 0 {
                return Ok(());
            }
        }
    }

    /// Writes the blocks that `bytes` begins with; how many bytes they are. What follows them in a
    /// segment was left over of an earlier one, and has lower numbers.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut end, mut next, mut lost) = (0, self.next, 0);
        while let Some(header) = bytes.get(end..).and_then(<[u8]>::first_chunk).and_then(Header::decode)
            && header.first >= next
            && end + header.span() <= bytes.len()
        {
            lost += header.first - next;
            next = header.next();
            end += header.span();
        }
        if end > 0 {
            self.disk.append(bytes.get(..end).unwrap_or_default())?;
        }
        self.next = next;
        if !self.service.foreign_numbers {
            self.service.disk_lost.fetch_add(lost, Relaxed);
        }
        Ok(end)
    }

    /// Failures are rare and what everybody asks for afterwards: these lines are synced.
    fn keep_failures(&mut self, board: &Board) -> io::Result<()> {
        let failures = self.service.failures.load(SeqCst);
        if failures == self.failures {
            return Ok(());
        }
        for name in [failure::FIRST, failure::LATEST] {
            match fs::read(self.service.memory.join(name)) {
                Ok(lines) => {
                    files::replace(&board.disk.join(&self.service.name).join(name), &lines, 0o600)
                        .map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.failures = failures;
        Ok(())
    }
}

fn is_mount(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev());
    matches!((device(path), device(Path::new("/"))), (Ok(own), Ok(root)) if own != root)
}
