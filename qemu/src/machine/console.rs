//! A machine's console: kept whole in a file, and cut into lines for whoever waits for one.
//!
//! The file is the truth: all that the machine ever wrote, with a line of the lab's own where it was switched on or
//! killed. What the lines mean is for others to say.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use crate::error::{Doing, Result, on};

/// The longest line that is looked at; the file has the rest.
const LINE_LIMIT: usize = 4096;

/// What a line that the lab adds itself begins with.
pub const LAB_PREFIX: &str = "lab: ";

/// The file of one machine's console.
#[derive(Debug)]
pub(crate) struct ConsoleLog {
    file: File,
    /// Whether the last byte written was an end of line.
    at_line_start: bool,
}

impl ConsoleLog {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path).doing(on("opening", path))?;
        Ok(ConsoleLog { file, at_line_start: true })
    }

    /// Adds what the machine wrote. A full disk must not stop the machine, so the loss is only told.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        if let Err(error) = self.file.write_all(bytes) {
            tracing::warn!(%error, "console not kept");
        }
    }

    /// Adds a line of the lab's own.
    pub(crate) fn note(&mut self, text: &str) {
        let start = if self.at_line_start { "" } else { "\n" };
        self.write(format!("{start}{LAB_PREFIX}{text}\n").as_bytes());
    }
}

/// Cuts bytes into lines, across reads.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Gives every complete line to `each`, without its end.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // What follows the last end of line is not a line yet.
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.keep(piece);
            let line = String::from_utf8_lossy(&self.partial);
            each(line.trim_end_matches('\r'));
            self.partial.clear();
        }
        self.keep(rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT.saturating_sub(self.partial.len());
        self.partial.extend(bytes.iter().take(room));
    }
}

/// Reads a console until its end, which comes when the last process that holds it has gone.
pub(crate) async fn read(pipe: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = pipe.readable().await?;
        match ready.try_io(|pipe| match rustix::io::read(pipe.get_ref(), &mut *buffer) {
            Err(Errno::INTR) => Err(io::ErrorKind::Interrupted.into()),
            other => Ok(other?),
        }) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(result) => return result,
            Err(_would_block) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| seen.push(line.to_owned()));
        }
        seen
    }

    #[test]
    fn lines_are_whole_wherever_the_reads_fall() {
        assert_eq!(cut(&[b"one\r\ntw", b"o\n", b"\nthr", b"ee"]), ["one", "two", ""]);
    }

    #[test]
    fn a_line_without_end_does_not_grow_without_bound() {
        let seen = cut(&[&[b'x'; 10_000], &[b'x'; 10_000], b"\nnext\n"]);
        assert_eq!((seen[0].len(), seen[1].as_str()), (LINE_LIMIT, "next"));
    }

    #[test]
    fn a_note_of_the_lab_begins_its_own_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut log = ConsoleLog::open(&path).unwrap();
        log.write(b"half a line");
        log.note("powered on");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "half a line\nlab: powered on\n");
    }
}
