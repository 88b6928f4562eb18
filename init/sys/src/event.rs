//! Waiting: one epoll, and signals as a descriptor.
//!
//! Thin over rustix and nix. What a ready descriptor means is the caller's token.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::epoll;
use rustix::time::Timespec;

/// Flags to open a console with: never wait for it, never take it as controlling terminal.
pub const OPEN_CONSOLE: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

/// How many ready descriptors one wait reports; the rest come with the next.
const BATCH: usize = 32;

/// What to wait for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// It can be read, or its other end is gone.
    Read,
    /// Exceptional condition: a cgroup.events file whose content changed.
    Change,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN,
            Self::Change => epoll::EventFlags::PRI,
        }
    }
}

/// A set of descriptors to wait for, level-triggered.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    /// Those of epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Adds `fd`, to be reported as `token`.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), interest.flags())?)
    }

    /// Takes `fd` out.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something is ready or `timeout` is over; the tokens of what is ready.
    ///
    /// # Errors
    /// Those of epoll_pwait2(2); a signal counts as nothing ready.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<u64>> {
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        let mut events = [const { MaybeUninit::uninit() }; BATCH];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((ready, _)) => Ok(ready.iter().map(|event| event.data.u64()).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A signal that pid 1 listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Children ended; how many is not said.
    Child,
    /// SIGTERM.
    Terminate,
    /// SIGINT: ctrl-alt-del, too.
    Interrupt,
    /// SIGUSR2.
    User2,
    /// SIGPWR.
    Power,
}

const LISTENED: [(NixSignal, Signal); 5] = [
    (NixSignal::SIGCHLD, Signal::Child),
    (NixSignal::SIGTERM, Signal::Terminate),
    (NixSignal::SIGINT, Signal::Interrupt),
    (NixSignal::SIGUSR2, Signal::User2),
    (NixSignal::SIGPWR, Signal::Power),
];

/// The listened-to signals as a descriptor; they are blocked and have no other effect.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks and listens.
    ///
    /// # Errors
    /// Those of sigprocmask(2) and signalfd(2).
    pub fn listen() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for (signal, _) in LISTENED {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self { fd: SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)? })
    }

    /// Takes the next signal, or none if there is none now.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn next(&self) -> io::Result<Option<Signal>> {
        while let Some(info) = self.fd.read_signal()? {
            let known =
                LISTENED.iter().find(|(signal, _)| u32::try_from(*signal as i32) == Ok(info.ssi_signo));
            if let Some((_, signal)) = known {
                return Ok(Some(*signal));
            }
        }
        Ok(None)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A pipe whose reading end never blocks; both ends stay out of children.
///
/// # Errors
/// Those of pipe2(2) and fcntl(2).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    set_nonblocking(&read)?;
    Ok((read, write))
}

/// Has a pipe hold so many bytes before whoever writes waits.
///
/// # Errors
/// Those of `F_SETPIPE_SZ`.
pub fn set_pipe_size(pipe: impl AsFd, bytes: usize) -> io::Result<()> {
    rustix::pipe::fcntl_setpipe_size(pipe, bytes)?;
    Ok(())
}

/// How many bytes a pipe may hold, in whole pages.
///
/// # Errors
/// Those of fcntl(2).
pub fn pipe_size(pipe: impl AsFd) -> io::Result<u64> {
    Ok(rustix::pipe::fcntl_getpipe_size(pipe)? as u64)
}

/// How many bytes wait in a pipe.
///
/// # Errors
/// Those of ioctl(2) with `FIONREAD`.
pub fn unread(pipe: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(pipe)?)
}

/// Reads what there is now: `None` when nothing is there yet, zero bytes at the end.
///
/// # Errors
/// Those of read(2).
pub fn read_now(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    retried(|| rustix::io::read(fd.as_fd(), &mut *buffer))
}

/// Writes as much as goes now: `None` when nothing does.
///
/// # Errors
/// Those of write(2).
pub fn write_now(fd: impl AsFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    retried(|| rustix::io::write(fd.as_fd(), bytes))
}

/// Makes reads and writes of `fd` return at once.
///
/// # Errors
/// Those of fcntl(2).
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

fn retried(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(len) => return Ok(Some(len)),
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_pipe_is_reported_by_its_token() {
        let (read, write) = pipe().unwrap();
        let poll = Poll::new().unwrap();
        poll.add(&read, 7, Interest::Read).unwrap();
        assert!(poll.wait(Some(Duration::ZERO)).unwrap().is_empty());
        let mut buffer = [0; 8];
        assert_eq!(read_now(&read, &mut buffer).unwrap(), None);
        assert_eq!(write_now(&write, b"hello").unwrap(), Some(5));
        assert_eq!(poll.wait(None).unwrap(), [7]);
        assert_eq!(read_now(&read, &mut buffer).unwrap(), Some(5));
        drop(write);
        assert_eq!(read_now(&read, &mut buffer).unwrap(), Some(0));
        poll.remove(&read).unwrap();
    }
}
