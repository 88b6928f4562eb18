//! Signals to processes that are not our children: what services leave behind, rehearsed failures.
//!
//! PID 1 signals its own children through `process`, by the descriptor it has of them.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open, pidfd_send_signal};

use crate::process::Signal;

/// Sends a process a signal if `is_it` still says so once nobody else can get its number.
///
/// # Errors
/// Those of pidfd_open(2) and pidfd_send_signal(2); `NotFound` if it is gone, or another.
pub fn send(pid: i32, signal: Signal, is_it: impl FnOnce() -> bool) -> io::Result<()> {
    let told = |error| match error {
        Errno::SRCH => io::ErrorKind::NotFound.into(),
        error => io::Error::from(error),
    };
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(told)?;
    if !is_it() {
        return Err(io::ErrorKind::NotFound.into());
    }
    pidfd_send_signal(process, signal.raw()).map_err(told)
}

/// As [`send`], SIGKILL.
///
/// # Errors
/// Those of [`send`].
pub fn kill(pid: i32, is_it: impl FnOnce() -> bool) -> io::Result<()> {
    send(pid, Signal::Kill, is_it)
}

/// Asks PID 1 for an orderly reboot.
///
/// # Errors
/// Those of kill(2).
pub fn ask_for_reboot() -> io::Result<()> {
    Ok(kill_process(Pid::INIT, Signal::Terminate.raw())?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_who_is_meant_is_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(kill(pid, || false).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(child.try_wait().unwrap().is_none());
        kill(pid, || true).unwrap();
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn who_is_gone_is_not_found() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        assert_eq!(kill(pid, || true).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn nobody_has_the_number_zero() {
        assert!(kill(0, || true).is_err());
    }
}
