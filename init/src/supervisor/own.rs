//! PID 1 about itself: how busy it is, and what it has done.
//!
//! Counters only, for the metrics; nothing is decided by them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::control::message::Own;
use crate::monotonic::Monotonic;

/// What a turn may take (reference/supervisors.md 5.9, 22): who waits longer for PID 1 notices.
const SLOW: Duration = Duration::from_millis(50);

/// The counters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Counters {
    began: Monotonic,
    turns: u64,
    longest: Duration,
    slow: u64,
    busy: Duration,
    reaped: u64,
    reexecs: u32,
}

impl Counters {
    /// From now on.
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            began: now,
            turns: 0,
            longest: Duration::ZERO,
            slow: 0,
            busy: Duration::ZERO,
            reaped: 0,
            reexecs: 0,
        }
    }

    /// A turn that began then is over.
    pub(super) fn turned(&mut self, began: Instant) {
        let took = began.elapsed();
        self.turns = self.turns.saturating_add(1);
        self.longest = self.longest.max(took);
        self.slow = self.slow.saturating_add(u64::from(took > SLOW));
        self.busy = self.busy.saturating_add(took);
    }

    /// It has replaced itself.
    pub(super) fn replaced(&mut self) {
        self.reexecs = self.reexecs.saturating_add(1);
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
            slow_turns: self.slow,
            busy_us: micros(self.busy),
            reaped: self.reaped,
            reexecs: self.reexecs,
            ..Own::default()
        }
    }
}
