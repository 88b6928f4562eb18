//! Time since boot: what every delay, deadline and stamp of PID 1 is made of.
//!
//! CLOCK_BOOTTIME, so steps of the wall clock change nothing and time asleep counts.

use std::time::Duration;

use rustix::time::ClockId;

/// Time since the kernel started.
#[must_use]
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_boot_moves_on() {
        let before = since_boot();
        assert!(before > Duration::ZERO);
        assert!(since_boot() >= before);
    }
}
