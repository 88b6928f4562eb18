//! The end of a log: what people are shown of a failed step.
//!
//! Reads at most the last 64 KiB, so that a log of a gigabyte costs nothing. Bytes that are no
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
    let mut shown = String::new();
    for line in kept {
        shown.extend(line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }));
        shown.push('\n');
    }
    shown.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_last_lines_in_order() {
        let text: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(of_text(&text, 2), "line 99\nline 100");
        assert_eq!(of_text("one", 40), "one");
        assert_eq!(of_text("", 40), "");
    }

    #[test]
    fn a_tail_does_not_drive_the_terminal() {
        assert_eq!(of_text("\x1b[2Jred", 1), "?[2Jred");
    }
}
