//! PID 1 about itself: how busy it is, and what it has done.
//!
//! Counters only, for the metrics; nothing is decided by them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::control::message::Own;
use crate::monotonic::Monotonic;

/// So many faults of its own PID 1 recovers from within [`FAULTS_WITHIN`].
const FAULTS_MAX: usize = 3;
/// See [`FAULTS_MAX`].
const FAULTS_WITHIN: Duration = Duration::from_secs(600);

/// The counters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Counters {
    began: Monotonic,
    turns: u64,
    longest: Duration,
    busy: Duration,
    reaped: u64,
    reexecs: u32,
    /// When it recovered from faults of its own.
    recoveries: Vec<Monotonic>,
}

impl Counters {
    /// From now on.
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            began: now,
            turns: 0,
            longest: Duration::ZERO,
            busy: Duration::ZERO,
            reaped: 0,
            reexecs: 0,
            recoveries: Vec::new(),
        }
    }

    /// A turn that began then is over.
    pub(super) fn turned(&mut self, began: Instant) {
        let took = began.elapsed();
        self.turns = self.turns.saturating_add(1);
        self.longest = self.longest.max(took);
        self.busy = self.busy.saturating_add(took);
    }

    /// It has replaced itself.
    pub(super) fn replaced(&mut self) {
        self.reexecs = self.reexecs.saturating_add(1);
    }

    /// It has recovered from a fault; whether it may go on, or has done so too often.
    pub(super) fn recovered(&mut self, now: Monotonic) -> bool {
        self.recoveries.push(now);
        let lately = self.recoveries.iter().filter(|at| now.since(**at) < FAULTS_WITHIN).count();
        lately <= FAULTS_MAX
    }

    /// A process was reaped.
    pub(super) fn reaped(&mut self) {
        self.reaped = self.reaped.saturating_add(1);
    }

    /// As others are told; what is not counted here is left as nothing.
    pub(super) fn tell(&self) -> Own {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Own {
            began: self.began.millis(),
            turns: self.turns,
            longest_turn_us: micros(self.longest),
            busy_us: micros(self.busy),
            reaped: self.reaped,
            reexecs: self.reexecs,
            recoveries: u32::try_from(self.recoveries.len()).unwrap_or(u32::MAX),
            ..Own::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_faults_in_ten_minutes_are_borne_and_a_fourth_is_not() {
        let at = |seconds: u64| Monotonic::from_millis(seconds * 1000);
        let mut counters = Counters::new(at(0));
        assert_eq!([1, 2, 3, 4].map(|n| counters.recovered(at(n))), [true, true, true, false]);
        assert!(counters.recovered(at(2000)), "that was long ago");
        assert_eq!(counters.tell().recoveries, 5);
    }
}
