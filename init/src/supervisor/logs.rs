//! The reading ends of what services print, and who reads them: logd, or nobody for a moment.
//!
//! PID 1 keeps them so that a service that prints while logd is away does not end of SIGPIPE and
//! loses nothing. When logd stays away, or is there and lets a pipe fill up, services must not wait for it: then
//! what they print is read here and counted, no more. Whether one that is there reads is `reading`'s to decide.
//! What logd is told is `logd::word`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use node_sys::event::{self, Interest, Poll};
use node_sys::resume;
use serde::{Deserialize, Serialize};

use super::reading::{Fill, Look, Reading};
use super::token::Token;
use crate::control::message::LogPipe;
use crate::control::server::Client;
use crate::logd::PID1;
use crate::monotonic::Monotonic;

/// How long logd may be away before what is printed is dropped.
const PATIENCE: Duration = Duration::from_secs(2);
/// What one turn drops of one pipe, so that none keeps the others waiting.
const PER_TURN: usize = 64 * 1024;
/// What PID 1 keeps of its own lines, and at which pace: they are few, and all of them matter.
const OWN: (u32, u32, u16) = (10_000, 50_000, 16);

/// PID 1's side of logd.
#[derive(Debug)]
pub(super) struct Logs {
    own: Option<OwnedFd>,
    reader: Option<Client>,
    away_since: Monotonic,
    drains: bool,
    reading: Reading,
    /// Whether the pipes are watched: to drop what is in them, or to hear of the first byte.
    watched: bool,
    dropped: u64,
    buffer: Vec<u8>,
}

/// The same as numbers, for a successor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    own: Option<RawFd>,
    reader: Option<Client>,
    away_since: Monotonic,
    dropped: u64,
}

impl Saved {
    /// All its descriptors.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.own.into_iter()
    }
}

impl Logs {
    /// What a successor must know.
    pub(super) fn save(&self) -> Saved {
        let Self { own, reader, away_since, dropped, .. } = self;
        let own = own.as_ref().map(|own| own.as_raw_fd());
        Saved { own, reader: *reader, away_since: *away_since, dropped: *dropped }
    }

    /// Goes on where a predecessor ended; if it drained, that begins anew with the first look.
    pub(super) fn restore(saved: &Saved) -> io::Result<Self> {
        let Saved { own, reader, away_since, dropped } = saved;
        let fresh = Self::new(own.map(resume::adopt).transpose()?, *away_since);
        Ok(Self { reader: *reader, dropped: *dropped, ..fresh })
    }

    /// Nobody reads yet. `own` is the reading end of PID 1's own lines.
    pub(super) fn new(own: Option<OwnedFd>, now: Monotonic) -> Self {
        Self {
            own,
            reader: None,
            away_since: now,
            drains: false,
            reading: Reading::AtRest,
            watched: false,
            dropped: 0,
            buffer: vec![0; PER_TURN],
        }
    }

    /// PID 1's own pipe, as logd gets it.
    pub(super) fn own(&self) -> Option<(LogPipe, BorrowedFd<'_>)> {
        let (lines_per_second, burst, disk_mib) = OWN;
        let of = LogPipe { service: PID1.to_owned(), lines_per_second, burst, disk_mib };
        self.own.as_ref().map(|own| (of, own.as_fd()))
    }

    /// `client` reads from now on.
    pub(super) fn is_read_by<'a>(
        &mut self,
        client: Client,
        pipes: impl Iterator<Item = (BorrowedFd<'a>, Token)>,
        poll: &Poll,
    ) {
        self.reader = Some(client);
        self.drains = false;
        self.reading = Reading::AtRest;
        self.unwatch(pipes, poll);
    }

    /// `client` is gone; perhaps it was the reader.
    pub(super) fn gone(&mut self, client: Client, now: Monotonic) {
        if self.reader.take_if(|reader| *reader == client).is_some() {
            self.away_since = now;
            self.reading = Reading::AtRest;
        }
    }

    /// `client` says that it reads.
    pub(super) fn answered(&mut self, client: Client, now: Monotonic) {
        if self.reader == Some(client) {
            self.reading.answered(now);
        }
    }

    /// When there is something to do for [`Self::time`]. `strained` says whether the CPU is short.
    pub(super) fn due(&self, strained: bool) -> Option<Monotonic> {
        match self.reader {
            Some(_) => self.reading.due(strained),
            None => (!self.drains).then(|| self.away_since.after(PATIENCE)),
        }
    }

    /// Begins to drain if it is time, or looks whether the reader reads: it may have to be asked, or it hangs.
    pub(super) fn time<'a>(
        &mut self,
        now: Monotonic,
        strained: bool,
        pipes: impl Iterator<Item = (BorrowedFd<'a>, Token)> + Clone,
        poll: &Poll,
    ) -> Option<(Client, Look)> {
        let is_due = self.due(strained).is_some_and(|due| due <= now);
        let Some(reader) = self.reader else {
            if is_due {
                self.drains = true;
                self.watch(pipes, poll);
            }
            return None;
        };
        if is_due {
            let own = self.own.as_ref().map(AsFd::as_fd);
            let all = own.into_iter().chain(pipes.clone().map(|(pipe, _)| pipe));
            match self.reading.look(now, strained, || all.map(fill).max().unwrap_or(Fill::Empty)) {
                Look::Fine => {}
                Look::Drop => self.watch(pipes.clone(), poll),
                look => return Some((reader, look)),
            }
        }
        if self.reading == Reading::AtRest {
            self.watch(pipes, poll);
        }
        None
    }

    /// Something is in the pipe of a service, or in our own: it is dropped, or its reader has a while to take it.
    pub(super) fn printed<'a>(
        &mut self,
        service: Option<BorrowedFd<'_>>,
        now: Monotonic,
        pipes: impl Iterator<Item = (BorrowedFd<'a>, Token)>,
        poll: &Poll,
    ) {
        if self.drains || matches!(self.reading, Reading::Overrun { .. }) {
            self.drop_from(service);
        } else {
            self.unwatch(pipes, poll);
            self.reading.printed(now);
        }
    }

    fn drop_from(&mut self, service: Option<BorrowedFd<'_>>) {
        let pipe = service.or(self.own.as_ref().map(AsFd::as_fd));
        if let Some(Ok(Some(length))) = pipe.map(|pipe| event::read_now(pipe, &mut self.buffer)) {
            self.dropped = self.dropped.saturating_add(length as u64);
        }
    }

    fn watch<'a>(&mut self, pipes: impl Iterator<Item = (BorrowedFd<'a>, Token)>, poll: &Poll) {
        if !std::mem::replace(&mut self.watched, true) {
            // What cannot be watched may fill, and its service waits for logd: the lesser evil.
            let _ = self.own.as_ref().map(|own| poll.add(own, Token::Log.to_raw(), Interest::Read));
            pipes.for_each(|(pipe, token)| _ = poll.add(pipe, token.to_raw(), Interest::Read));
        }
    }

    fn unwatch<'a>(&mut self, pipes: impl Iterator<Item = (BorrowedFd<'a>, Token)>, poll: &Poll) {
        if std::mem::take(&mut self.watched) {
            // What was not watched needs no undoing.
            let _ = self.own.as_ref().map(|own| poll.remove(own));
            pipes.for_each(|(pipe, _)| _ = poll.remove(pipe));
        }
    }

    /// Bytes dropped since boot.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// What cannot be told is taken for empty: nobody is killed for it. Half is as good as full: a pipe holds pages, and a
/// line that does not fit into the last one begins another.
fn fill(pipe: BorrowedFd<'_>) -> Fill {
    let Ok(unread @ 1..) = event::unread(pipe) else { return Fill::Empty };
    let is_full = event::pipe_size(pipe).is_ok_and(|size| unread >= size / 2);
    if is_full { Fill::Full } else { Fill::Some }
}

#[cfg(test)]
mod tests {
    use node_sys::event::write_now;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    /// A reader's seat on a control socket.
    fn client() -> Client {
        serde_json::from_str(r#"{"slot":0,"generation":1}"#).unwrap()
    }

    fn fill(pipe: &OwnedFd) -> u64 {
        let mut written = 0;
        while let Some(length) = write_now(pipe, &[b'x'; 4096]).unwrap() {
            written += length as u64;
        }
        written
    }

    #[test]
    fn what_is_printed_while_logd_stays_away_is_dropped_and_counted_a_bounded_part_per_turn() {
        let poll = Poll::new().unwrap();
        let (read, write) = event::pipe().unwrap();
        event::set_nonblocking(&write).unwrap();
        event::set_pipe_size(&write, 4 * PER_TURN).unwrap();
        let written = fill(&write);
        let mut logs = Logs::new(None, at(1000));
        let pipes = || [(read.as_fd(), Token::Log)].into_iter();
        let at_once = Some(Duration::ZERO);
        assert_eq!(logs.due(false), Some(at(3000)));
        assert_eq!(logs.time(at(2999), false, pipes(), &poll), None);
        assert!(poll.wait(at_once).unwrap().is_empty(), "logd may still come");
        assert_eq!(logs.time(at(3000), false, pipes(), &poll), None);
        assert_eq!(logs.due(false), None, "nothing more is to come");
        let mut turns = 0;
        while !poll.wait(at_once).unwrap().is_empty() {
            let before = logs.dropped();
            logs.printed(Some(read.as_fd()), at(3000), pipes(), &poll);
            assert!(logs.dropped() - before <= PER_TURN as u64, "others wait for this pipe");
            turns += 1;
            assert!(turns < 100, "a pipe that is never empty");
        }
        assert_eq!(logs.dropped(), written);
        assert_eq!(fill(&write), written, "there is room for all of it again");
    }

    #[test]
    fn who_comes_back_finds_what_was_printed_and_has_its_patience_again_when_it_goes() {
        let poll = Poll::new().unwrap();
        let (read, write) = event::pipe().unwrap();
        let mut logs = Logs::new(None, at(0));
        let pipes = || [(read.as_fd(), Token::Log)].into_iter();
        logs.time(at(2000), false, pipes(), &poll);
        logs.is_read_by(client(), pipes(), &poll);
        write_now(&write, b"a line\n").unwrap();
        assert!(poll.wait(Some(Duration::ZERO)).unwrap().is_empty(), "logd reads it, not PID 1");
        assert_eq!(logs.due(false), None);
        logs.gone(client(), at(7000));
        assert_eq!(logs.due(false), Some(at(9000)));
        assert_eq!(logs.dropped(), 0);
    }

    #[test]
    fn whoever_reads_is_asked_about_what_stays_in_a_pipe_and_not_before() {
        let poll = Poll::new().unwrap();
        let (read, write) = event::pipe().unwrap();
        let pipes = || [(read.as_fd(), Token::Log)].into_iter();
        let ready = || poll.wait(Some(Duration::ZERO)).unwrap().len();
        let mut logs = Logs::new(None, at(0));
        logs.is_read_by(client(), pipes(), &poll);
        assert_eq!(logs.time(at(0), false, pipes(), &poll), None);
        assert_eq!((ready(), logs.due(false)), (0, None));
        write_now(&write, b"a line\n").unwrap();
        assert_eq!(ready(), 1, "the first byte is told");
        logs.printed(Some(read.as_fd()), at(100), pipes(), &poll);
        assert_eq!((ready(), logs.due(false)), (0, Some(at(1100))), "and no other for a while");
        assert_eq!(logs.time(at(1100), false, pipes(), &poll), Some((client(), Look::Ask)));
        assert_eq!(logs.time(at(3100), false, pipes(), &poll), Some((client(), Look::Hangs)));
        event::read_now(&read, &mut [0; 64]).unwrap();
        assert_eq!(logs.time(at(4100), false, pipes(), &poll), None);
        write_now(&write, b"another\n").unwrap();
        assert_eq!((ready(), logs.dropped()), (1, 0), "it is told again, and was never taken");
    }

    #[test]
    fn a_pipe_that_fills_up_while_logd_owes_an_answer_is_emptied_until_it_answers() {
        let poll = Poll::new().unwrap();
        let (read, write) = event::pipe().unwrap();
        event::set_nonblocking(&write).unwrap();
        let pipes = || [(read.as_fd(), Token::Log)].into_iter();
        let ready = || poll.wait(Some(Duration::ZERO)).unwrap().len();
        let mut logs = Logs::new(None, at(0));
        logs.is_read_by(client(), pipes(), &poll);
        logs.time(at(0), false, pipes(), &poll);
        let written = fill(&write);
        logs.printed(Some(read.as_fd()), at(0), pipes(), &poll);
        assert_eq!(logs.time(at(1000), false, pipes(), &poll), Some((client(), Look::Ask)));
        assert_eq!((logs.time(at(1249), false, pipes(), &poll), ready()), (None, 0), "it may be busy");
        assert_eq!((logs.time(at(1250), false, pipes(), &poll), ready()), (None, 1));
        while ready() > 0 {
            logs.printed(Some(read.as_fd()), at(1250), pipes(), &poll);
        }
        assert_eq!(logs.dropped(), written);
        assert_eq!(fill(&write), written, "nobody waits");
        logs.answered(client(), at(1300));
        logs.printed(Some(read.as_fd()), at(1300), pipes(), &poll);
        assert_eq!((logs.dropped(), ready()), (written, 0), "logd reads what lies there now");
    }

    #[test]
    fn a_pipe_is_full_for_a_writer_of_long_lines_long_before_all_its_bytes_are_taken() {
        let (read, write) = event::pipe().unwrap();
        event::set_nonblocking(&write).unwrap();
        assert_eq!(super::fill(read.as_fd()), Fill::Empty);
        write_now(&write, &[b'x'; 2100]).unwrap();
        assert_eq!(super::fill(read.as_fd()), Fill::Some);
        while write_now(&write, &[b'x'; 2100]).unwrap().is_some() {}
        assert_eq!(super::fill(read.as_fd()), Fill::Full);
    }
}
