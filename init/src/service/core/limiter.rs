//! How many starts a machine makes: 20 per second in the long run, 100 at once.
//!
//! A token bucket, counted in thousandths of a start so that nothing is lost to rounding.
//! Who is served next is `settle`'s: whoever was not served for longest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::monotonic::Monotonic;

/// Starts at once.
pub const BURST: u64 = 100;
/// Starts per second in the long run; also thousandths of a start per millisecond.
pub const RATE: u64 = 20;
/// What one start costs, in the bucket's unit.
const ONE: u64 = 1000;

/// The bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limiter {
    thousandths: u64,
    at: Monotonic,
}

impl Limiter {
    /// A full one.
    #[must_use]
    pub fn new(now: Monotonic) -> Self {
        Self { thousandths: BURST.saturating_mul(ONE), at: now }
    }

    /// Takes `starts` out, if they are there.
    pub fn take(&mut self, starts: u64, now: Monotonic) -> bool {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.at = self.at.max(now);
        let full = BURST.saturating_mul(ONE);
        self.thousandths = self.thousandths.saturating_add(passed.saturating_mul(RATE)).min(full);
        match self.thousandths.checked_sub(cost(starts)) {
            Some(rest) => {
                self.thousandths = rest;
                true
            }
            None => false,
        }
    }

    /// When `starts` will be there.
    #[must_use]
    pub fn available_at(&self, starts: u64) -> Monotonic {
        let missing = cost(starts).saturating_sub(self.thousandths);
        self.at.after(Duration::from_millis(missing.div_ceil(RATE)))
    }
}

fn cost(starts: u64) -> u64 {
    starts.min(BURST).saturating_mul(ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    #[test]
    fn a_hundred_starts_go_at_once_and_then_one_every_50_ms() {
        let mut limiter = Limiter::new(at(0));
        assert_eq!((0..200).filter(|_| limiter.take(1, at(0))).count(), 100);
        assert_eq!(limiter.available_at(1), at(50));
        assert!(!limiter.take(1, at(49)));
        assert!(limiter.take(1, at(50)));
    }

    #[test]
    fn an_idle_hour_saves_up_no_more_than_the_burst() {
        let mut limiter = Limiter::new(at(0));
        assert_eq!((0..200).filter(|_| limiter.take(1, at(3_600_000))).count(), 100);
    }

    #[test]
    fn no_ten_seconds_see_more_than_200_starts_and_the_burst() {
        let mut limiter = Limiter::new(at(0));
        let starts = (0..10_000).filter(|millis| limiter.take(1, at(*millis))).count();
        assert!((295..=300).contains(&starts), "{starts}");
    }
}
