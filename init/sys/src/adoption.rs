//! Children that outlive the program that started them: what is kept of them, and taken over.
//!
//! `exec` keeps children and descriptors; the next program only has to know their numbers. What
//! else it must know, and what it makes of a child that is gone, is `init`'s. Starting and
//! signalling are in [`crate::process`].

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use rustix::process::PidfdFlags;

use crate::launch::Lent;
use crate::process::{Child, Pid};
use crate::resume;

/// A child, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptChild {
    /// Its number.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: RawFd,
    /// The pipe that says whether its program was executed.
    pub failure: RawFd,
    /// What came out of that.
    pub report: Option<[u8; 8]>,
}

impl Child {
    /// What the next program must know of it.
    #[must_use]
    pub fn kept(&self) -> KeptChild {
        KeptChild {
            pid: self.pid.as_raw(),
            pidfd: self.pidfd.as_raw_fd(),
            failure: self.failure.as_raw_fd(),
            report: self.report,
        }
    }

    /// Takes over a child of an earlier program of this process.
    ///
    /// # Errors
    /// Its descriptors are not what they should be.
    pub fn adopt(kept: KeptChild) -> io::Result<Self> {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", kept.pidfd))?;
        if !link.to_string_lossy().contains("pidfd") {
            let text = format!("descriptor {} is {}", kept.pidfd, link.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Self {
            pid: Pid::from_raw(kept.pid)?,
            pidfd: resume::adopt(kept.pidfd)?,
            failure: resume::adopt(kept.failure)?,
            report: kept.report,
            closed: false,
            lent: Lent::default(),
        })
    }

    /// Takes over a child of which only the number is known; its program counts as executed.
    ///
    /// # Errors
    /// It is gone.
    pub fn found(pid: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid)?;
        let pidfd = rustix::process::pidfd_open(pid.rustix(), PidfdFlags::empty())?;
        let (failure, _) = crate::event::pipe()?;
        Ok(Self { pid, pidfd, failure, report: None, closed: false, lent: Lent::default() })
    }

    /// Whether it has not been reaped: an ended one is still there until then.
    #[must_use]
    pub fn is_there(&self) -> bool {
        // A pidfd shows -1 once its process is reaped.
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd()));
        info.is_ok_and(|info| {
            info.lines().any(|line| {
                line.strip_prefix("Pid:").is_some_and(|pid| pid.trim() == self.pid.as_raw().to_string())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_there_until_it_is_reaped() {
        let mut process = std::process::Command::new("true").spawn().unwrap();
        let child = Child::found(i32::try_from(process.id()).unwrap()).unwrap();
        assert!(child.is_there());
        process.wait().unwrap();
        assert!(!child.is_there());
    }

    #[test]
    fn only_a_pidfd_is_taken_for_a_child() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let number = file.as_raw_fd();
        let kept = KeptChild { pid: 1, pidfd: number, failure: number, report: None };
        let error = Child::adopt(kept).unwrap_err().to_string();
        assert_eq!(error, format!("descriptor {number} is /dev/null"));
    }
}
