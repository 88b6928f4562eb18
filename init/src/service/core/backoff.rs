//! The pause before a service is started again: it doubles up to a cap and never gives up.
//!
//! A service that worked for a while is back at once; one that worked for long has a clean
//! record. Which failures count is `end`'s; what many failures mean is `escalation`'s.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::jitter::Jitter;

/// Who was ready this long is started again without a pause.
pub const WORKED: Duration = Duration::from_secs(10);
/// Who was ready this long has a clean record.
pub const PROVEN: Duration = Duration::from_secs(120);
/// As [`PROVEN`], for whose pauses have reached their cap.
pub const PROVEN_AGAIN: Duration = Duration::from_secs(600);
/// How far a pause is spread, in percent.
pub const SPREAD: u32 = 20;

/// Failures in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    failures: u32,
    capped: bool,
    last: Duration,
}

impl Backoff {
    /// How many failures in a row there are, after being ready for `ready_for`.
    #[must_use]
    pub fn failures(&self, ready_for: Duration) -> u32 {
        if ready_for >= self.proven() { 0 } else { self.failures }
    }

    fn proven(&self) -> Duration {
        if self.capped { PROVEN_AGAIN } else { PROVEN }
    }

    /// Counts a failure, after being ready for `ready_for`, and says how long to pause: from `first` on,
    /// doubling, up to `cap`, each never shorter than the one before it.
    pub fn next(
        &mut self,
        first: Duration,
        cap: Duration,
        ready_for: Duration,
        jitter: &mut Jitter,
    ) -> Duration {
        if ready_for >= self.proven() {
            *self = Self::default();
        }
        let doubled = 2_u32.checked_pow(self.failures).and_then(|factor| first.checked_mul(factor));
        let pause = doubled.unwrap_or(cap).min(cap);
        self.failures = self.failures.saturating_add(1);
        self.capped |= pause >= cap;
        if ready_for >= WORKED {
            return Duration::ZERO;
        }
        self.last = jitter.spread(pause, SPREAD).max(self.last);
        self.last
    }

    /// Counts a failure that nothing but change can mend: the longest pause at once.
    pub fn longest(&mut self, cap: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.capped = true;
        self.last = cap.max(self.last);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(250);
    const CAP: Duration = Duration::from_secs(60);

    fn next(backoff: &mut Backoff, ready_for: Duration) -> Duration {
        backoff.next(FIRST, CAP, ready_for, &mut Jitter::new(3))
    }

    #[test]
    fn pauses_double_up_to_the_cap_within_a_fifth_and_stay_there() {
        let (mut backoff, mut jitter) = (Backoff::default(), Jitter::new(1));
        for nominal in [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000] {
            let pause = backoff.next(FIRST, CAP, Duration::ZERO, &mut jitter).as_millis();
            assert!(pause * 10 >= nominal * 8 && pause * 10 <= nominal * 12, "{pause} for {nominal}");
        }
        backoff.failures = u32::MAX;
        assert!(next(&mut backoff, Duration::ZERO) >= CAP * 8 / 10);
    }

    #[test]
    fn who_worked_for_ten_seconds_is_back_at_once_but_keeps_its_record() {
        let mut backoff = Backoff::default();
        next(&mut backoff, Duration::ZERO);
        assert_eq!(next(&mut backoff, WORKED), Duration::ZERO);
        assert_eq!(backoff.failures(Duration::ZERO), 2);
        assert!(next(&mut backoff, Duration::ZERO) >= Duration::from_millis(800));
    }

    #[test]
    fn two_good_minutes_are_a_new_beginning_and_ten_after_the_cap() {
        let mut backoff = Backoff::default();
        next(&mut backoff, Duration::ZERO);
        assert_eq!(backoff.failures(PROVEN), 0);
        next(&mut backoff, PROVEN);
        assert_eq!(backoff.failures(Duration::ZERO), 1);
        backoff.longest(CAP);
        assert_eq!(backoff.failures(PROVEN), 2);
        assert_eq!(backoff.failures(PROVEN_AGAIN), 0);
    }
}
