//! Descriptors that report what concerns the whole machine: a clock that was set, a CPU that is short.
//!
//! Both are watched by the caller's epoll. What follows from them is `init`'s.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// Ready to be read once the wall clock was set.
#[derive(Debug)]
pub struct ClockSteps(OwnedFd);

impl ClockSteps {
    /// Watches from now on.
    ///
    /// # Errors
    /// Those of timerfd_create(2) and timerfd_settime(2).
    pub fn watch() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let steps = Self(rustix::time::timerfd_create(TimerfdClockId::Realtime, flags)?);
        steps.again()?;
        Ok(steps)
    }

    /// Whether the clock was set since this was last asked. A slow adjustment is none.
    ///
    /// # Errors
    /// Those of timerfd_settime(2).
    pub fn stepped(&self) -> io::Result<bool> {
        match rustix::io::read(&self.0, &mut [0; 8]) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            // ECANCELED says that it was set; the far end of time has not come, whatever else it says.
            _ => self.again().map(|()| true),
        }
    }

    fn again(&self) -> io::Result<()> {
        let never = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        rustix::time::timerfd_settime(&self.0, flags, &Itimerspec { it_interval: none, it_value: never })?;
        Ok(())
    }
}

impl AsFd for ClockSteps {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Changes ([`crate::event::Interest::Change`]) whenever somebody has waited for the CPU for too long.
#[derive(Debug)]
pub struct Pressure(File);

impl Pressure {
    /// Watches the file at `path` (/proc/pressure/cpu): `stalled` within `window` is too long.
    ///
    /// # Errors
    /// Those of open(2) and write(2): a kernel without PSI has no such file.
    pub fn watch(path: &Path, stalled: Duration, window: Duration) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).open(path)?;
        file.write_all(format!("some {} {}\0", stalled.as_micros(), window.as_micros()).as_bytes())?;
        Ok(Self(file))
    }
}

impl AsFd for Pressure {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Interest, Poll};

    #[test]
    fn a_clock_that_nobody_sets_does_not_step() {
        let steps = ClockSteps::watch().unwrap();
        let poll = Poll::new().unwrap();
        poll.add(&steps, 1, Interest::Read).unwrap();
        assert_eq!(poll.wait(Some(Duration::from_millis(20))).unwrap(), Vec::<u64>::new());
        assert!(!steps.stepped().unwrap());
    }

    #[test]
    fn a_kernel_without_such_a_file_is_an_error() {
        let error = Pressure::watch(Path::new("/nonexistent"), Duration::ZERO, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
