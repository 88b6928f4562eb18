//! Signals to processes that are not our children: for rehearsed failures.
//!
//! PID 1 signals its own children through `process`, by the descriptor it has of them.

use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// Kills a process if `is_it` still says so once nobody else can get its number.
///
/// # Errors
/// Those of pidfd_open(2) and pidfd_send_signal(2).
pub fn kill(pid: i32, is_it: impl FnOnce() -> bool) -> io::Result<()> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    if !is_it() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(pidfd_send_signal(process, Signal::KILL)?)
}

/// Asks PID 1 for an orderly reboot.
///
/// # Errors
/// Those of kill(2).
pub fn ask_for_reboot() -> io::Result<()> {
    Ok(kill_process(Pid::INIT, Signal::TERM)?)
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
    fn nobody_has_the_number_zero() {
        assert!(kill(0, || true).is_err());
    }
}
