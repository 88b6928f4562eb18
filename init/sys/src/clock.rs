//! The wall clock: setting it, and nudging it.
//!
//! When to do which is decided in `init::agent::clock`. `unsafe` is for one call that
//! neither rustix nor nix wraps.
#![allow(unsafe_code)]

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// Sets the clock, all at once.
///
/// # Errors
/// Those of clock_settime(2); a time before 1970 is none.
pub fn step(to: SystemTime) -> io::Result<()> {
    let since = to.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let time = rustix::time::Timespec {
        tv_sec: i64::try_from(since.as_secs()).map_err(io::Error::other)?,
        tv_nsec: i64::from(since.subsec_nanos()),
    };
    Ok(rustix::time::clock_settime(rustix::time::ClockId::Realtime, time)?)
}

/// Makes the clock run faster or slower by half a millisecond per second until it has
/// gone `microseconds` further.
///
/// # Errors
/// Those of adjtimex(2).
pub fn slew(microseconds: i64) -> io::Result<()> {
    // SAFETY: timex is made of integers, for which zero is a value.
    let mut adjustment: libc::timex = unsafe { std::mem::zeroed() };
    adjustment.modes = libc::ADJ_OFFSET_SINGLESHOT;
    adjustment.offset = microseconds;
    // SAFETY: the argument is a valid timex for the duration of the call.
    let result = unsafe { libc::adjtimex(&raw mut adjustment) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_before_the_epoch_is_refused_without_touching_the_clock() {
        let before = UNIX_EPOCH.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(step(before).is_err());
    }
}
