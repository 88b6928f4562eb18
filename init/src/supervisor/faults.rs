//! How many faults of its own PID 1 bears, and what one too many means.
//!
//! Times in, a verdict out. A successor counts before it makes anything of what it inherited
//! ([`super::succession`]): what faulted once may fault again there, each time earlier than the last.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::monotonic::Monotonic;

/// So many are borne within [`WITHIN`].
const BORNE: usize = 3;
/// See [`BORNE`].
const WITHIN: Duration = Duration::from_secs(600);

/// What a fault means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// PID 1 goes on.
    GoOn,
    /// That was one too many: the machine ends, with what is known of its services.
    End,
    /// That end faults, too: nothing more is made of what is known.
    GiveUp,
}

/// The faults so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Faults {
    total: u32,
    lately: Vec<Monotonic>,
}

impl Faults {
    /// One more.
    pub(super) fn count(&mut self, now: Monotonic) -> Verdict {
        self.total = self.total.saturating_add(1);
        self.lately.retain(|at| now.since(*at) < WITHIN);
        self.lately.push(now);
        match self.lately.len().saturating_sub(BORNE) {
            0 => Verdict::GoOn,
            1 => Verdict::End,
            _ => Verdict::GiveUp,
        }
    }

    /// All since boot.
    pub(super) fn total(&self) -> u32 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_millis(seconds * 1000)
    }

    #[test]
    fn three_faults_in_ten_minutes_are_borne_a_fourth_ends_the_machine_and_a_fifth_ends_that() {
        use Verdict::{End, GiveUp, GoOn};
        let mut faults = Faults::default();
        assert_eq!([1, 2, 3, 4, 5, 6].map(|n| faults.count(at(n))), [GoOn, GoOn, GoOn, End, GiveUp, GiveUp]);
        assert_eq!(faults.count(at(2000)), GoOn, "the others were long ago");
        assert_eq!(faults.total(), 7);
    }

    #[test]
    fn no_more_faults_are_remembered_than_count() {
        let mut faults = Faults::default();
        assert!((0..1000).all(|n| faults.count(at(n * 300)) == Verdict::GoOn));
        assert_eq!((faults.total(), faults.lately.len()), (1000, 2));
    }
}
