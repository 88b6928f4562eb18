//! Time as the machine's decisions know it: milliseconds since boot.
//!
//! The wall clock is set late, steps, and has no say in any delay. Only what acts (`supervisor`, `shutdown`,
//! `stage1`, the console's queue) asks what time it is; what decides is told, so tests write times down.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The moment `millis` ms after the kernel started.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(millis(node_sys::uptime::since_boot()))
    }

    /// In milliseconds since the kernel started.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// This much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(millis(time)))
    }

    /// This much earlier, or the start itself.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(millis(time)))
    }

    /// The time from `earlier` to here; none if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Duration::from_millis(self.0);
        write!(f, "{}.{:03}", time.as_secs(), time.subsec_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_seconds_with_three_places() {
        assert_eq!(Monotonic::from_millis(12_034).to_string(), "12.034");
    }

    #[test]
    fn no_time_has_passed_since_the_future() {
        let (early, late) = (Monotonic::from_millis(1), Monotonic::from_millis(5));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
