//! One service's pipe: read what is there, cut it, limit it, store it.
//!
//! The beginning of a line waits here for its end; everything else is on the shelf before the
//! next read. PID 1's own pipe also brings words that are for us.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use memchr::memchr;
use node_sys::event;

use super::block::{Header, LINE_MAX, TEXT_MAX};
use super::board::Service;
use super::cut::{Cutter, Piece};
use super::echo::Echo;
use super::limit::Limit;
use super::shelf::{Shelf, Stamp};
use super::word::{self, Word};

/// What one pipe may take of a turn: a megabyte is a pipe, and others wait.
const TURN_MAX: usize = 1024 * 1024;

/// What a turn at a pipe brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes read.
    pub bytes: usize,
    /// Whether there will be no more: every writer is gone.
    pub ended: bool,
    /// What PID 1 said to us.
    pub words: Vec<Word>,
}

/// A pipe.
#[derive(Debug)]
pub struct Intake {
    pipe: OwnedFd,
    shelf: Shelf,
    limit: Limit,
    cutter: Cutter,
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Whether marked lines are for us.
    is_pid1: bool,
}

impl Intake {
    /// Reads `pipe`, which must not block, to `shelf`.
    #[must_use]
    pub fn new(pipe: OwnedFd, shelf: Shelf, limit: Limit, is_pid1: bool) -> Self {
        Self { pipe, shelf, limit, cutter: Cutter::default(), begun: Vec::new(), is_pid1 }
    }

    /// Whose pipe it is.
    #[must_use]
    pub fn service(&self) -> &Service {
        self.shelf.service()
    }

    /// The shelf, for what is not about the pipe.
    pub fn shelf(&mut self) -> &mut Shelf {
        &mut self.shelf
    }

    /// Takes what is there, at most a megabyte. `buffer` is everybody's, [`TEXT_MAX`] long.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn take(&mut self, buffer: &mut [u8], echo: &mut Echo) -> io::Result<Taken> {
        let mut taken = Taken::default();
        while taken.bytes < TURN_MAX {
            let begun = self.begun.len();
            let (front, room) = buffer.split_at_mut(begun);
            front.copy_from_slice(&self.begun);
            let Some(read) = event::read_now(&self.pipe, room)? else { break };
            if read == 0 {
                self.finish(echo);
                taken.ended = true;
                break;
            }
            taken.bytes += read;
            let drained = read < room.len();
            self.keep(buffer.get(..begun + read).unwrap_or_default(), &mut taken.words, echo);
            if drained {
                break;
            }
        }
        Ok(taken)
    }

    fn keep(&mut self, mut bytes: &[u8], words: &mut Vec<Word>, echo: &mut Echo) {
        let now = Stamp::now();
        while let Some(piece) = self.cutter.next(&mut bytes) {
            if self.is_pid1 && memchr(word::MARK, piece.text).is_some() {
                self.listen(piece, now, words, echo);
            } else {
                self.store(piece, now, echo);
            }
        }
        // A service that ended a line once should not hold memory for it for ever.
        if bytes.is_empty() && self.begun.capacity() > LINE_MAX / 4 {
            self.begun = Vec::new();
        }
        self.begun.clear();
        self.begun.extend_from_slice(bytes);
    }

    /// Stores PID 1's lines but for those that are for us.
    fn listen(&mut self, piece: Piece<'_>, now: Stamp, words: &mut Vec<Word>, echo: &mut Echo) {
        for line in piece.text.split_inclusive(|byte| *byte == b'\n') {
            match Word::parse(line.strip_suffix(b"\n").unwrap_or(line)) {
                Some(word) => words.push(word),
                None => self.store(Piece { text: line, lines: 1, flags: piece.flags }, now, echo),
            }
        }
    }

    fn store(&mut self, piece: Piece<'_>, now: Stamp, echo: &mut Echo) {
        let piece = piece.first(self.limit.take(piece.lines, now.monotonic));
        if piece.lines == 0 {
            return;
        }
        // PID 1 is at the console itself.
        if !self.is_pid1 {
            echo.show(&self.shelf.service().name, piece.text);
        }
        let header = Header {
            lines: piece.lines,
            flags: piece.flags,
            realtime: now.realtime,
            monotonic: now.monotonic,
            ..Header::default()
        };
        self.shelf.store(header, piece.text);
    }

    /// When the next notice about dropped lines is due, in microseconds since boot.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.limit.due()
    }

    /// Says how many lines were dropped, if that is due.
    pub fn notice(&mut self, now: Stamp) {
        if let Some(gone) = self.limit.notice(now.monotonic) {
            self.say_gone(gone, now);
        }
    }

    /// The pipe has ended, or we have: what has begun is a line, and what was dropped is said.
    pub fn finish(&mut self, echo: &mut Echo) {
        let now = Stamp::now();
        let begun = std::mem::take(&mut self.begun);
        if let Some(piece) = self.cutter.last(&begun) {
            self.store(piece, now, echo);
        }
        if let Some(gone) = self.limit.last_notice() {
            self.say_gone(gone, now);
        }
    }

    fn say_gone(&mut self, gone: u64, now: Stamp) {
        let why = format!("more than {} per second", self.limit.per_second());
        self.shelf.store_notice(gone, &why, now);
    }
}

impl AsFd for Intake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

// A line's beginning and the rest of a read must have room beside each other.
const _: () = assert!(LINE_MAX * 2 <= TEXT_MAX);
