//! The pause before a service is started again: it doubles up to a cap and never gives up.
//!
//! A service that crashes at once is not hurried, one that fails after a long good time is
//! back at once. There is no state "failed for good": a machine that stands alone in a rack
//! has nobody who would reset it.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(30);
/// A service that was ready this long has shown that it works: counting starts anew.
pub const PROVEN: Duration = Duration::from_secs(60);

/// Failures in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failure, after being ready for `ready_for`, and says how long to pause.
    pub fn next(&mut self, ready_for: Duration) -> Duration {
        if ready_for >= PROVEN {
            self.failures = 0;
        }
        let pause = 2_u32.checked_pow(self.failures).and_then(|factor| FIRST.checked_mul(factor));
        self.failures = self.failures.saturating_add(1);
        pause.unwrap_or(LONGEST).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_stay_there() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> =
            (0..9).map(|_| u64::try_from(backoff.next(Duration::ZERO).as_millis()).unwrap()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.next(Duration::ZERO), LONGEST);
    }

    #[test]
    fn a_long_good_time_is_a_new_beginning() {
        let mut backoff = Backoff { failures: 7 };
        assert_eq!(backoff.next(PROVEN - Duration::from_millis(1)), LONGEST);
        assert_eq!(backoff.next(PROVEN), FIRST);
    }
}
