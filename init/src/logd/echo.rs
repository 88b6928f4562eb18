//! Services' lines for whoever stands at the machine, as `NAME| TEXT`.
//!
//! While the machine comes up everything, as it comes; then only the last lines of a service that
//! has failed. The console may be slow, full or absent: that is the queue's, and costs nobody a line.

use std::path::Path;
use std::time::Duration;

use crate::console::Console;
use crate::monotonic::Monotonic;
use crate::text::one_line;

/// A failed service's last lines that are shown.
const LINES_OF_A_FAILURE: usize = 10;
/// The longest line, in characters: what is longer is in the log.
const LINE_MAX: usize = 1000;

/// The console, as far as services are concerned.
#[derive(Debug)]
pub struct Echo {
    console: Option<Console>,
    up: bool,
}

impl Echo {
    /// To the device at `path`, if any. Without one nothing is shown.
    #[must_use]
    pub fn to(path: Option<&Path>, up: bool) -> Self {
        Self { console: path.map(Console::open), up }
    }

    /// The machine is up.
    pub fn is_up(&mut self) {
        self.up = true;
    }

    /// A service printed these lines.
    pub fn show(&mut self, service: &str, lines: &[u8]) {
        if !self.up {
            self.write(service, lines);
        }
    }

    /// A service has failed; its last lines with their moments, in microseconds since boot. What was
    /// shown as it came, or is of an earlier start, is not shown.
    pub fn show_failure(&mut self, service: &str, started: u64, lines: &[(u64, Vec<u8>)]) {
        if !self.up {
            return;
        }
        let skip = lines.len().saturating_sub(LINES_OF_A_FAILURE);
        for (_, line) in lines.iter().skip(skip).filter(|(at, _)| *at >= started) {
            self.write(service, line);
        }
    }

    fn write(&mut self, service: &str, lines: &[u8]) {
        let Some(console) = &mut self.console else { return };
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            console.write_line(&format!("{service}| {}", one_line(text.trim_end(), LINE_MAX)));
        }
    }

    /// Writes what the console did not take at once.
    pub fn flush(&mut self) {
        if let Some(console) = &mut self.console {
            console.flush();
        }
    }

    /// After how long it is worth trying to write what the console did not take, if anything is left.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.console.as_ref().and_then(|console| console.pause(Monotonic::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        std::fs::write(&path, "").unwrap();
        (dir, path)
    }

    #[test]
    fn everything_is_shown_until_the_machine_is_up() {
        let (_dir, path) = console();
        let mut echo = Echo::to(Some(&path), false);
        echo.show("etcd", b"one\r\n\x1b[1mtwo\n");
        echo.is_up();
        echo.show("etcd", b"three\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "etcd| one\netcd|  [1mtwo\n");
    }

    #[test]
    fn of_a_failure_the_last_lines_since_its_start_are_shown() {
        let (_dir, path) = console();
        let lines: Vec<(u64, Vec<u8>)> = (0..20).map(|n| (n, format!("{n}\n").into_bytes())).collect();
        let mut echo = Echo::to(Some(&path), false);
        echo.show_failure("etcd", 0, &lines);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "they were shown as they came");
        echo.is_up();
        echo.show_failure("etcd", 17, &lines);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "etcd| 17\netcd| 18\netcd| 19\n");
        echo.show_failure("etcd", 0, &lines);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3 + LINES_OF_A_FAILURE);
    }
}
