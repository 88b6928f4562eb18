//! One service's ring with all that belongs to storing a block in it.
//!
//! Waits for the keeper where that is called for, tells the others how far it has got, and
//! counts what memory had no room for. What is stored is decided by `intake` and `kernel`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use super::block::{Header, NOTICE};
use super::board::{Board, Service};
use super::failure;
use super::ring::Ring;

/// A moment on both clocks, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Since 1970.
    pub realtime: u64,
    /// Since boot.
    pub monotonic: u64,
}

impl Stamp {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            realtime: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros),
            monotonic: micros(node_sys::uptime::since_boot()),
        }
    }
}

/// The writing end of a service's lines.
#[derive(Debug)]
pub struct Shelf {
    ring: Ring,
    board: Arc<Board>,
    service: Arc<Service>,
    stored: u64,
}

impl Shelf {
    /// Goes on where the last process ended.
    ///
    /// # Errors
    /// Those of reading and writing the ring's directory.
    pub fn open(board: &Arc<Board>, service: &Arc<Service>) -> io::Result<Self> {
        let ring = Ring::open(&service.memory, board.boot)?;
        let shelf = Self { ring, board: Arc::clone(board), service: Arc::clone(service), stored: 0 };
        shelf.publish();
        Ok(shelf)
    }

    /// Whose it is.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The next line's number.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.ring.totals().0
    }

    /// From here on lines have the numbers that the kernel gave them.
    pub fn skip_to(&mut self, number: u64) {
        self.ring.skip_to(number);
    }

    /// Bytes stored since the last time this was asked.
    pub fn stored(&mut self) -> u64 {
        std::mem::take(&mut self.stored)
    }

    /// Stores a block. What does not fit is counted: nobody could do anything about it here.
    pub fn store(&mut self, header: Header, text: &[u8]) {
        if self.ring.is_full_for(text.len()) {
            if let Some(victim) = self.ring.victim() {
                self.board.before_dropping(&self.service, victim);
                self.ring.let_go();
            } else if self.ring.oldest() < self.service.needed() {
                self.ring.let_go_copied();
            }
            // Before anything is written to what readers and the keeper may be reading.
            self.service.set_oldest(self.ring.oldest());
            // The keeper copies this segment while we fill the next.
            self.board.work.ring();
        }
        let lines = u64::from(header.lines);
        match self.ring.append(header, text) {
            Ok(header) => {
                self.stored += header.span() as u64;
                self.publish();
            }
            Err(_) => _ = self.service.memory_lost.fetch_add(lines, Relaxed),
        }
    }

    /// Stores our own line about lines that are gone.
    pub fn store_notice(&mut self, gone: u64, why: &str, now: Stamp) {
        let header = Header {
            lines: 1,
            flags: NOTICE,
            gone,
            realtime: now.realtime,
            monotonic: now.monotonic,
            ..Header::default()
        };
        self.store(header, format!("logd: {gone} lines dropped: {why}\n").as_bytes());
    }

    /// Sets the last lines apart, since the service has failed; these lines.
    #[must_use]
    pub fn failed(&self) -> Vec<(u64, Vec<u8>)> {
        // It costs the evidence of one failure; there is nobody to tell but the same full memory.
        let Ok(lines) = failure::set_apart(&self.service.memory, self.board.boot) else { return Vec::new() };
        self.service.failures.fetch_add(1, Relaxed);
        self.board.work.ring();
        lines
    }

    fn publish(&self) {
        let (lines, bytes, dropped) = self.ring.totals();
        self.service.lines.store(lines, Relaxed);
        self.service.bytes.store(bytes, Relaxed);
        self.service.limited.store(dropped, Relaxed);
        self.service.set_oldest(self.ring.oldest());
        self.service.set_head(self.ring.head());
    }
}
