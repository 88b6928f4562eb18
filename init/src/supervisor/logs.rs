//! The reading ends of what services print, and who reads them: logd, or nobody for a moment.
//!
//! PID 1 keeps them so that a service that prints while logd is away does not end of SIGPIPE and
//! loses nothing. When logd stays away, services must not wait for it: then what they print is
//! read here and counted, no more. What logd is told is `logd::word`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use node_sys::event::{self, Interest, Poll};
use node_sys::resume;
use serde::{Deserialize, Serialize};

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
        let Self { own, reader, away_since, drains: _, dropped, buffer: _ } = self;
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
        Self { own, reader: None, away_since: now, drains: false, dropped: 0, buffer: vec![0; PER_TURN] }
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
        pipes: impl Iterator<Item = BorrowedFd<'a>>,
        poll: &Poll,
    ) {
        self.reader = Some(client);
        if std::mem::take(&mut self.drains) {
            // What was not watched needs no undoing.
            let _ = self.own.as_ref().map(|own| poll.remove(own));
            pipes.for_each(|pipe| _ = poll.remove(pipe));
        }
    }

    /// `client` is gone; perhaps it was the reader.
    pub(super) fn gone(&mut self, client: Client, now: Monotonic) {
        if self.reader.take_if(|reader| *reader == client).is_some() {
            self.away_since = now;
        }
    }

    /// When patience is over, if that is still to come.
    pub(super) fn due(&self) -> Option<Monotonic> {
        (self.reader.is_none() && !self.drains).then(|| self.away_since.after(PATIENCE))
    }

    /// Begins to drain if it is time.
    pub(super) fn time<'a>(
        &mut self,
        now: Monotonic,
        pipes: impl Iterator<Item = (BorrowedFd<'a>, Token)>,
        poll: &Poll,
    ) {
        if self.due().is_some_and(|due| due <= now) {
            self.drains = true;
            // What cannot be watched fills, and its service waits for logd: the lesser evil.
            let _ = self.own.as_ref().map(|own| poll.add(own, Token::Log.to_raw(), Interest::Read));
            pipes.for_each(|(pipe, token)| _ = poll.add(pipe, token.to_raw(), Interest::Read));
        }
    }

    /// Drops what is in the pipe of a service, or in our own.
    pub(super) fn drop_from(&mut self, service: Option<BorrowedFd<'_>>) {
        let pipe = service.or(self.own.as_ref().map(AsFd::as_fd));
        if let Some(Ok(Some(length))) = pipe.map(|pipe| event::read_now(pipe, &mut self.buffer)) {
            self.dropped = self.dropped.saturating_add(length as u64);
        }
    }

    /// Bytes dropped since boot.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
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
        assert_eq!(logs.due(), Some(at(3000)));
        logs.time(at(2999), pipes(), &poll);
        assert!(poll.wait(at_once).unwrap().is_empty(), "logd may still come");
        logs.time(at(3000), pipes(), &poll);
        assert_eq!(logs.due(), None, "nothing more is to come");
        let mut turns = 0;
        while !poll.wait(at_once).unwrap().is_empty() {
            let before = logs.dropped();
            logs.drop_from(Some(read.as_fd()));
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
        logs.time(at(2000), [(read.as_fd(), Token::Log)].into_iter(), &poll);
        logs.is_read_by(client(), [read.as_fd()].into_iter(), &poll);
        write_now(&write, b"a line\n").unwrap();
        assert!(poll.wait(Some(Duration::ZERO)).unwrap().is_empty(), "logd reads it, not PID 1");
        assert_eq!(logs.due(), None);
        logs.gone(client(), at(7000));
        assert_eq!(logs.due(), Some(at(9000)));
        assert_eq!(logs.dropped(), 0);
    }
}
