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

use super::block::{HEADER, Header, PREFIX};
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
            let Some(mut reader) = Reader::open(&segment::path(&service.memory, number))? else { continue };
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
            // It is open: what is in it stays, even when the ring lets it go.
            board.needs_from(&self.service, if sealed { self.segment + 1 } else { self.segment });
            let end = if sealed { file.metadata()?.len() } else { length };
            if end > self.offset {
                buffer.resize(ring::SEGMENT as usize, 0);
                let range = usize::try_from(end - self.offset).unwrap_or(usize::MAX);
                let blocks = buffer.get_mut(..range).ok_or(io::ErrorKind::InvalidData)?;
                file.read_exact_at(blocks, self.offset)?;
                self.write(blocks)?;
                self.offset = end;
            } else if sealed {
                (self.segment, self.offset) = (self.segment + 1, PREFIX as u64);
            } else {
                return Ok(());
            }
        }
    }

    fn write(&mut self, blocks: &[u8]) -> io::Result<()> {
        self.disk.append(blocks)?;
        let mut rest = blocks;
        while let Some(header) = rest.first_chunk::<HEADER>().and_then(Header::decode) {
            if header.first > self.next && !self.service.foreign_numbers {
                self.service.disk_lost.fetch_add(header.first - self.next, Relaxed);
            }
            self.next = header.next();
            rest = rest.get(header.span()..).unwrap_or_default();
        }
        Ok(())
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
