//! Writing to a console that may be slow, hung or absent.
//!
//! Lines go out as far as the device takes them; the rest waits in a bounded queue, and what
//! does not fit there is dropped and counted. PID 1 never waits for a serial line.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use node_sys::event;

use crate::monotonic::Monotonic;
use crate::text::one_line;

/// Bytes that wait at most: five seconds of a 115200 baud line.
const QUEUE_MAX: usize = 64 * 1024;
/// Characters of a line in the log: so many that every one of four bytes is within a pipe's atomic write.
const LOG_LINE_MAX: usize = 1000;

/// The console.
#[derive(Debug)]
pub struct Console {
    device: Option<File>,
    queue: VecDeque<u8>,
    dropped: u64,
    log: Option<OwnedFd>,
    log_lost: u64,
}

impl Console {
    /// Opens the device at `path`; without one, every line is dropped.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        // It must never become our controlling terminal: ctrl-C would reach us.
        let flags = node_sys::event::OPEN_CONSOLE;
        let device = File::options().write(true).custom_flags(flags).open(path).ok();
        Self { device, queue: VecDeque::new(), dropped: 0, log: None, log_lost: 0 }
    }

    /// From now on what is said also goes to `log`, a pipe that does not block.
    pub fn also_to(&mut self, log: OwnedFd) {
        self.log = Some(log);
    }

    /// Writes a line about `subject`.
    pub fn say(&mut self, at: Monotonic, subject: super::Subject<'_>, text: &str) {
        self.write_line(&super::line(at, subject, text));
        self.log_line(&one_line(&format!("{subject}: {text}"), LOG_LINE_MAX));
    }

    /// Writes a line to the log only: it must fit a pipe's atomic write.
    pub fn log_line(&mut self, line: &str) {
        let Some(log) = &self.log else { return };
        // One write that is whole or not at all, whoever else writes there.
        let line = format!("{line}\n");
        if !matches!(event::write_now(log, line.as_bytes()), Ok(Some(_))) {
            self.log_lost = self.log_lost.saturating_add(line.len() as u64);
        }
    }

    /// Bytes for which the log had no room.
    #[must_use]
    pub fn log_lost(&self) -> u64 {
        self.log_lost
    }

    /// The log's descriptor.
    #[must_use]
    pub fn log(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_ref().map(AsFd::as_fd)
    }

    /// Writes a line as it is.
    pub fn write_line(&mut self, line: &str) {
        if self.dropped > 0 && self.queue.is_empty() {
            let note = format!("({} lines dropped)\n", self.dropped);
            self.queue.extend(note.bytes());
            self.dropped = 0;
        }
        if self.queue.len().saturating_add(line.len()) >= QUEUE_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.queue.extend(line.bytes());
        self.queue.push_back(b'\n');
        self.flush();
    }

    /// Writes what the device takes now.
    pub fn flush(&mut self) {
        let Some(device) = &self.device else {
            self.queue.clear();
            return;
        };
        while !self.queue.is_empty() {
            let (front, _) = self.queue.as_slices();
            match event::write_now(device, front) {
                Ok(Some(written)) => {
                    self.queue.drain(..written.min(self.queue.len()));
                }
                Ok(None) => return,
                // A hung-up line: nobody reads, and keeping old lines for nobody helps nobody.
                Err(_) => self.queue.clear(),
            }
        }
    }

    /// Whether lines wait for the device.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The device, to wait for or to hand to a child.
    #[must_use]
    pub fn device(&self) -> Option<BorrowedFd<'_>> {
        self.device.as_ref().map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Subject;
    use super::*;

    #[test]
    fn a_line_reaches_the_device_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        std::fs::write(&path, "").unwrap();
        let mut console = Console::open(&path);
        console.say(Monotonic::from_millis(7), Subject::Machine, "up");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "slipway[0.007] machine: up\n");
        assert!(!console.is_behind());
    }

    #[test]
    fn a_console_that_nobody_reads_drops_lines_and_says_how_many() {
        let (read, write) = event::pipe().unwrap();
        event::set_nonblocking(&write).unwrap();
        let mut console = Console {
            device: Some(File::from(write)),
            queue: VecDeque::new(),
            dropped: 0,
            log: None,
            log_lost: 0,
        };
        let text = "x".repeat(1000);
        for _ in 0..1000 {
            console.write_line(&text);
        }
        assert!(console.is_behind() && console.queue.len() <= QUEUE_MAX);
        let dropped = console.dropped;
        assert!(dropped > 0);
        let mut everything = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        while console.is_behind() {
            let len = event::read_now(&read, &mut buffer).unwrap().unwrap();
            everything.extend_from_slice(&buffer[..len]);
            console.flush();
        }
        console.write_line("last");
        let len = event::read_now(&read, &mut buffer).unwrap().unwrap();
        everything.extend_from_slice(&buffer[..len]);
        let text = String::from_utf8(everything).unwrap();
        assert!(text.ends_with(&format!("({dropped} lines dropped)\nlast\n")));
    }
}
