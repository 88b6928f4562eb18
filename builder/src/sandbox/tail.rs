//! The end of a log: what people are shown of a failed step, and of one that runs.
//!
//! Reads at most 64 KiB at a time, so that a log of a gigabyte costs nothing. Bytes that are no
//! UTF-8 and control characters are replaced: a log must not repaint the terminal.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// How far back from the end a line may begin to be shown, in bytes.
const WINDOW: u64 = 64 * 1024;

/// The last `lines` lines of a log; a log that cannot be read says so in its place.
#[must_use]
pub fn of_file(log: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)))?;
        let mut bytes = Vec::new();
        file.take(WINDOW).read_to_end(&mut bytes)?;
        Ok(of_text(&String::from_utf8_lossy(&bytes), lines))
    };
    read().unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
}

/// The last `lines` lines of a text, without control characters.
#[must_use]
pub fn of_text(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let kept = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    let shown: Vec<String> = kept.iter().map(|line| printable(line)).collect();
    shown.join("\n").trim_end().to_owned()
}

fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

/// A log that is still being written, line by line.
#[derive(Debug)]
pub struct Follower {
    file: Option<File>,
    rest: Vec<u8>,
}

impl Follower {
    /// Follows a log from its beginning; one that is not there has no lines.
    #[must_use]
    pub fn new(log: &Path) -> Self {
        Self { file: File::open(log).ok(), rest: Vec::new() }
    }

    /// The lines that were finished since the last call; of a flood, only the first 64 KiB for now.
    pub fn new_lines(&mut self) -> Vec<String> {
        let Some(file) = &mut self.file else { return Vec::new() };
        if file.take(WINDOW).read_to_end(&mut self.rest).is_err() {
            // A log that cannot be read is a pity for whoever watches, and no reason to stop a build.
            self.file = None;
            return Vec::new();
        }
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        String::from_utf8_lossy(&whole).lines().map(printable).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_tail_is_the_last_lines_in_order() {
        let text: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(of_text(&text, 2), "line 99\nline 100");
        assert_eq!(of_text("one", 40), "one");
        assert_eq!(of_text("", 40), "");
    }

    #[test]
    fn a_follower_gives_each_line_once_and_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "one\ntw").unwrap();
        let mut follower = Follower::new(&log);
        assert_eq!(follower.new_lines(), ["one"]);
        assert_eq!(follower.new_lines(), Vec::<String>::new());
        std::fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"o\nthree\n").unwrap();
        assert_eq!(follower.new_lines(), ["two", "three"]);
    }

    #[test]
    fn a_tail_does_not_drive_the_terminal() {
        assert_eq!(of_text("\x1b[2Jred", 1), "?[2Jred");
    }
}
