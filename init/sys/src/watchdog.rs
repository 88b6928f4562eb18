//! The hardware watchdog: a device that resets the machine unless it is written to in time.
//!
//! Opened once and never closed: closing without the magic letter leaves it armed, which is
//! what is wanted when PID 1 dies. How often and with what timeout is `init`'s business.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// From linux/watchdog.h: _IOR('W', 2, int).
const BOOT_STATUS: libc::c_ulong = 0x8004_5702;
/// From linux/watchdog.h: _IOWR('W', 6, int).
const SET_TIMEOUT: libc::c_ulong = 0xc004_5706;
/// From linux/watchdog.h: _IOR('W', 7, int).
const GET_TIMEOUT: libc::c_ulong = 0x8004_5707;
/// From linux/watchdog.h, a bit of the boot's status: `WDIOF_CARDRESET`.
const RESET_BY_IT: libc::c_int = 0x20;

/// An armed watchdog.
#[derive(Debug)]
pub struct Watchdog(File);

impl From<OwnedFd> for Watchdog {
    /// Taken over from an earlier program of this process.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl Watchdog {
    /// Opens the device, which arms it.
    ///
    /// # Errors
    /// Those of open(2): most virtual machines have none.
    pub fn arm(path: &Path) -> io::Result<Self> {
        Ok(Self(File::options().write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?))
    }

    /// Has it wait so long from now on; what the hardware made of that.
    ///
    /// # Errors
    /// Those of ioctl(2): some hardware has one fixed timeout.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<Duration> {
        let mut seconds = libc::c_int::try_from(timeout.as_secs()).map_err(io::Error::other)?;
        // SAFETY: the kernel reads and writes one int.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), SET_TIMEOUT, &raw mut seconds) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// How long it waits as it is.
    ///
    /// # Errors
    /// Those of ioctl(2): some hardware does not tell.
    pub fn timeout(&self) -> io::Result<Duration> {
        let mut seconds: libc::c_int = 0;
        // SAFETY: the kernel writes one int.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), GET_TIMEOUT, &raw mut seconds) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Whether this boot is its doing.
    ///
    /// # Errors
    /// Those of ioctl(2).
    pub fn has_bitten(&self) -> io::Result<bool> {
        let mut status: libc::c_int = 0;
        // SAFETY: the kernel writes one int.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), BOOT_STATUS, &raw mut status) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(status & RESET_BY_IT != 0)
    }

    /// Begins its wait anew.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn pet(&mut self) -> io::Result<()> {
        self.0.write_all(b".")
    }
}

impl AsFd for Watchdog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
