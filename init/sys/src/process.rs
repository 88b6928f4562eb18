//! Processes: signalling one, learning how it ended.
//!
//! A [`Child`] is a process that [`crate::spawn`] started. It is known by its pidfd, so that no signal ever hits
//! another that has its number by now.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::launch::{self, Lent};
use rustix::process::{Signal as RustixSignal, WaitOptions};

/// A process's number: never zero, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid(rustix::process::Pid);

impl Pid {
    /// This process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self(rustix::process::getpid())
    }

    /// The number.
    #[must_use]
    pub fn as_raw(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// The process with this number.
    ///
    /// # Errors
    /// No process can have it.
    pub fn from_raw(number: i32) -> io::Result<Self> {
        rustix::process::Pid::from_raw(number).map(Self).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    pub(crate) fn rustix(self) -> rustix::process::Pid {
        self.0
    }
}

impl From<rustix::process::Pid> for Pid {
    fn from(pid: rustix::process::Pid) -> Self {
        Self(pid)
    }
}

/// A signal to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGHUP.
    HangUp,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGKILL.
    Kill,
}

impl Signal {
    pub(crate) fn raw(self) -> RustixSignal {
        match self {
            Self::Terminate => RustixSignal::TERM,
            Self::Interrupt => RustixSignal::INT,
            Self::HangUp => RustixSignal::HUP,
            Self::Quit => RustixSignal::QUIT,
            Self::User1 => RustixSignal::USR1,
            Self::User2 => RustixSignal::USR2,
            Self::Kill => RustixSignal::KILL,
        }
    }
}

/// A started process. Whoever reaps must do so by [`reap`]; dropping this closes descriptors only.
#[derive(Debug)]
pub struct Child {
    /// Its number, valid until it is reaped.
    pub pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) failure: OwnedFd,
    pub(crate) report: Option<[u8; 8]>,
    /// Whether the pipe has no more to say.
    pub(crate) closed: bool,
    pub(crate) lent: Lent,
}

impl Drop for Child {
    fn drop(&mut self) {
        // What it was lent is given back if it is past it.
        self.was_executed();
    }
}

impl Child {
    /// Sends a signal to exactly this process; one that has ended already is no error.
    ///
    /// # Errors
    /// Those of pidfd_send_signal(2).
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, signal.raw()) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Can be read once its program was executed, or could not be.
    #[must_use]
    pub fn failure_pipe(&self) -> BorrowedFd<'_> {
        self.failure.as_fd()
    }

    /// Whether its program was executed; none while that is not known.
    pub fn was_executed(&mut self) -> Option<bool> {
        if self.closed {
            return Some(self.report.is_none());
        }
        let mut report = [0; 8];
        match crate::event::read_now(&self.failure, &mut report) {
            Ok(Some(0)) => {
                // Closed by exec or by its end, either of which comes after it left our memory.
                self.closed = true;
                self.lent.give_back();
                Some(self.report.is_none())
            }
            Ok(Some(_)) => {
                self.report = Some(report);
                Some(false)
            }
            Ok(None) => self.report.map(|_| false),
            Err(_) => Some(self.report.is_none()),
        }
    }

    /// Why its program never ran, if so; to be asked once it has ended.
    #[must_use]
    pub fn failure(&mut self) -> Option<io::Error> {
        self.was_executed();
        self.report.map(launch::told)
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// From now on only who may look into everybody's memory may look into ours: a child has it, with fewer rights than
/// we have, until its program runs.
///
/// # Errors
/// Those of prctl(2).
pub fn guard_memory() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Status(i32),
    /// By a signal.
    Signal(i32),
}

/// Reaps one ended child, whoever it is; none when no child has ended.
///
/// # Errors
/// Those of wait4(2); having no children at all is none.
pub fn reap() -> io::Result<Option<(Pid, Exit)>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(None),
            Ok(Some((pid, status))) => {
                let exit = match (status.exit_status(), status.terminating_signal()) {
                    (Some(status), _) => Exit::Status(status),
                    (None, Some(signal)) => Exit::Signal(signal),
                    // Stopped or continued: not asked for, and not an end.
                    (None, None) => continue,
                };
                return Ok(Some((Pid(pid), exit)));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether this process has any children, ended or not.
#[must_use]
pub fn has_children() -> bool {
    // WNOWAIT: whoever has ended stays to be reaped.
    let options = rustix::process::WaitIdOptions::EXITED
        | rustix::process::WaitIdOptions::NOHANG
        | rustix::process::WaitIdOptions::NOWAIT;
    !matches!(rustix::process::waitid(rustix::process::WaitId::All, options), Err(rustix::io::Errno::CHILD))
}

/// Sends SIGKILL to every process but this one and the kernel's; for the end of a machine.
///
/// # Errors
/// Those of kill(2); that nobody is left is none.
pub fn kill_all() -> io::Result<()> {
    // SAFETY: kill takes numbers. As pid 1, -1 means every process but ourselves.
    let done = unsafe { libc::kill(-1, libc::SIGKILL) };
    match io::Error::last_os_error() {
        _ if done == 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}
