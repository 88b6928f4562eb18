//! Writing to a console that may be slow, hung or absent.
//!
//! Lines go out as far as the device takes them; the rest waits in a bounded queue, and what
//! does not fit there is dropped and counted. PID 1 never waits for a serial line. A line that was
//! hung up is opened anew; one that is gone is looked for when there is something to say, and not often.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_sys::event;

use crate::monotonic::Monotonic;
use crate::text::one_line;

/// Bytes that wait at most: five seconds of a 115200 baud line.
const QUEUE_MAX: usize = 64 * 1024;
/// Between two attempts to write to a device that does not keep up.
const PAUSE: Duration = Duration::from_millis(100);
/// A device that took nothing for so long may be another by now, and is in no hurry. So long is also between two
/// attempts to open it anew: whoever plugs an adapter in again waits no longer, and one that opens and takes nothing
/// costs no more.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Characters of a line in the log: so many that every one of four bytes is within a pipe's atomic write.
const LOG_LINE_MAX: usize = 1000;

/// The device, while there is one.
#[derive(Debug)]
struct Device {
    file: Option<File>,
    /// When it was last opened anew.
    anew: Option<Monotonic>,
    /// Since when it has taken nothing of what waits for it.
    full: Option<Monotonic>,
}

impl Device {
    fn may_open(&self, now: Monotonic) -> bool {
        self.anew.is_none_or(|before| now.since(before) >= STUCK_AFTER)
    }

    fn is_stuck(&self, now: Monotonic) -> bool {
        self.full.is_some_and(|since| now.since(since) >= STUCK_AFTER)
    }
}

/// The console.
#[derive(Debug)]
pub struct Console {
    path: PathBuf,
    device: Device,
    queue: VecDeque<u8>,
    dropped: u64,
    /// How many of those that were dropped a note in the queue tells of.
    noted: u64,
    log: Option<OwnedFd>,
    log_lost: u64,
}

impl Console {
    /// Opens the device at `path`; as long as there is none, every line is dropped.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let device = Device { file: open(path).ok(), anew: None, full: None };
        let queue = VecDeque::new();
        Self { path: path.to_owned(), device, queue, dropped: 0, noted: 0, log: None, log_lost: 0 }
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
        if self.device.file.is_none() && !self.open_anew(Monotonic::now()) {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        if self.dropped > 0 && self.queue.is_empty() {
            let note = format!("({} lines dropped)\n", self.dropped);
            self.queue.extend(note.bytes());
            self.noted = self.dropped;
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
        while !self.queue.is_empty() {
            let Some(device) = &self.device.file else { return self.give_up() };
            let (front, _) = self.queue.as_slices();
            match event::write_now(device, front) {
                Ok(Some(written)) => {
                    self.device.full = None;
                    self.queue.drain(..written.min(self.queue.len()));
                }
                Ok(None) => {
                    let now = Monotonic::now();
                    self.device.full.get_or_insert(now);
                    if !self.device.is_stuck(now) || !self.device.may_open(now) {
                        return;
                    }
                    // Some drivers say no more than this of a line that was pulled out, and in again.
                    self.open_anew(now);
                }
                // Hung up, which a new descriptor need not be.
                Err(_) => _ = self.open_anew(Monotonic::now()),
            }
        }
        self.dropped = self.dropped.saturating_sub(std::mem::take(&mut self.noted));
    }

    /// Opens the device once more, unless that was just tried; whether there is one. The old descriptor is closed
    /// in any case, but last: whoever is the last to close a line may have to wait for what is still in it, and a
    /// device that was pulled out keeps its name for as long as anybody has it open.
    fn open_anew(&mut self, now: Monotonic) -> bool {
        if self.device.may_open(now) {
            self.device.file = open(&self.path).ok();
            self.device.anew = Some(now);
        } else {
            self.device.file = None;
        }
        self.device.file.is_some()
    }

    /// Nobody reads, and keeping old lines for nobody helps nobody: the log has them.
    fn give_up(&mut self) {
        self.device.full = None;
        let note = std::mem::take(&mut self.noted).min(1);
        let lines = self.queue.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.dropped = self.dropped.saturating_add(lines.saturating_sub(note));
        self.queue.clear();
    }

    /// Whether lines wait for the device.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// After how long it is worth trying to write what waits, if anything does.
    #[must_use]
    pub fn pause(&self, now: Monotonic) -> Option<Duration> {
        let pause = if self.device.is_stuck(now) { STUCK_AFTER } else { PAUSE };
        self.is_behind().then_some(pause)
    }

    /// The device, to wait for or to hand to a child.
    #[must_use]
    pub fn device(&self) -> Option<BorrowedFd<'_>> {
        self.device.file.as_ref().map(AsFd::as_fd)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // It must never become our controlling terminal: ctrl-C would reach us.
    File::options().write(true).custom_flags(event::OPEN_CONSOLE).open(path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::Subject;
    use super::*;

    /// A named pipe: like a serial line it is an error to write to when nobody is at its other end, and when nobody
    /// is there it cannot be opened.
    struct Line(PathBuf);

    impl Line {
        fn lay(path: PathBuf) -> Self {
            let _ = std::fs::remove_file(&path);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            Self(path)
        }

        fn plug(&self) -> File {
            File::options().read(true).custom_flags(event::OPEN_CONSOLE).open(&self.0).unwrap()
        }
    }

    fn read(line: &File) -> String {
        let mut buffer = vec![0; 1 << 20];
        let length = event::read_now(line, &mut buffer).unwrap().unwrap_or(0);
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// As if so long had passed since the console was opened anew.
    fn wait(console: &mut Console, time: Duration) {
        console.device.anew = Some(console.device.anew.unwrap().before(time));
    }

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
        let dir = tempfile::tempdir().unwrap();
        let line = Line::lay(dir.path().join("console"));
        let reader = line.plug();
        let mut console = Console::open(&line.0);
        let text = "x".repeat(1000);
        for _ in 0..1000 {
            console.write_line(&text);
        }
        assert!(console.is_behind() && console.queue.len() <= QUEUE_MAX);
        let dropped = console.dropped;
        assert!(dropped > 0);
        let mut text = String::new();
        while console.is_behind() {
            text += &read(&reader);
            console.flush();
        }
        console.write_line("last");
        text += &read(&reader);
        assert!(text.ends_with(&format!("({dropped} lines dropped)\nlast\n")));
    }

    #[test]
    fn a_console_that_was_hung_up_is_opened_anew_and_no_line_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let before = Line::lay(dir.path().join("console"));
        let reader = before.plug();
        let mut console = Console::open(&before.0);
        console.write_line("before");
        assert_eq!(read(&reader), "before\n");
        drop(reader);
        let reader = Line::lay(before.0.clone()).plug();
        console.write_line("after");
        assert_eq!(read(&reader), "after\n");
        assert!(!console.is_behind());
    }

    #[test]
    fn a_console_that_is_gone_is_looked_for_with_the_next_line_and_at_most_every_five_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let line = Line::lay(dir.path().join("console"));
        let reader = line.plug();
        let mut console = Console::open(&line.0);
        drop(reader);
        console.write_line("nobody is there");
        assert!(console.device().is_none(), "its name is free for whatever is plugged in next");
        assert!(!console.is_behind(), "which would wake PID 1 ten times a second");
        let reader = line.plug();
        console.write_line("just tried");
        wait(&mut console, STUCK_AFTER / 2);
        console.write_line("tried a moment ago");
        assert_eq!(read(&reader), "");
        wait(&mut console, STUCK_AFTER / 2);
        console.write_line("now");
        assert_eq!(read(&reader), "(3 lines dropped)\nnow\n");
    }

    #[test]
    fn a_device_that_opens_and_takes_nothing_is_opened_once_in_five_seconds() {
        let dir = tempfile::tempdir().unwrap();
        // Linux says ENOSPC to whoever writes there.
        let path = dir.path().join("full");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut console = Console::open(&path);
        console.write_line("one");
        let opened = console.device.anew;
        assert!(opened.is_some() && console.device().is_none());
        (0..1000).for_each(|_| console.write_line("more"));
        std::thread::sleep(STUCK_AFTER / 200);
        console.write_line("more");
        assert_eq!((console.device.anew, console.dropped), (opened, 1002));
        wait(&mut console, STUCK_AFTER);
        console.write_line("and more");
        assert!(console.device.anew >= opened, "and then once more");
        assert_eq!(console.dropped, 1003, "no note of them was read");
    }

    #[test]
    fn a_console_that_takes_nothing_is_tried_more_seldom_and_then_opened_anew_with_all_that_waits() {
        let dir = tempfile::tempdir().unwrap();
        let line = Line::lay(dir.path().join("console"));
        let stuck = line.plug();
        let mut console = Console::open(&line.0);
        let text = "x".repeat(1000);
        (0..100).for_each(|_| console.write_line(&text));
        assert_eq!(console.pause(Monotonic::now()), Some(PAUSE));
        let another = Line::lay(line.0.clone()).plug();
        console.flush();
        assert_eq!(read(&another), "", "it may only be slow");
        console.device.full = Some(console.device.full.unwrap().before(STUCK_AFTER));
        assert_eq!(console.pause(Monotonic::now()), Some(STUCK_AFTER));
        console.flush();
        assert!(read(&another).starts_with("xxx"));
        assert_eq!(console.pause(Monotonic::now()), None);
        drop(stuck);
    }

    #[test]
    fn a_machine_without_a_console_gets_one_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        let mut console = Console::open(&path);
        assert!(console.device().is_none());
        console.write_line("nobody");
        let reader = Line::lay(path).plug();
        wait(&mut console, STUCK_AFTER);
        console.write_line("somebody");
        assert_eq!(read(&reader), "(1 lines dropped)\nsomebody\n");
    }
}
