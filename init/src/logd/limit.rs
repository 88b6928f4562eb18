//! How much a service may say: a bucket of lines that fills at a steady rate.
//!
//! Above it the newest lines are dropped and counted; a notice says so once per second.
//! Time is given, never asked for.

/// Between two notices about dropped lines, in microseconds.
const NOTICE_EVERY: u64 = 1_000_000;
/// A line, in the bucket's unit: what a rate of one line per second adds in a microsecond.
const LINE: u64 = 1_000_000;

/// One service's bucket.
#[derive(Debug, Clone)]
pub struct Limit {
    per_second: u64,
    full: u64,
    level: u64,
    filled_at: u64,
    gone: u64,
    notice_at: u64,
}

impl Limit {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: u64) -> Self {
        let full = u64::from(burst.max(1)).saturating_mul(LINE);
        Self { per_second: per_second.into(), full, level: full, filled_at: now, gone: 0, notice_at: 0 }
    }

    /// How many of `lines` may pass; the others are counted as gone.
    pub fn take(&mut self, lines: u32, now: u64) -> u32 {
        let added = now.saturating_sub(self.filled_at).saturating_mul(self.per_second);
        self.level = self.level.saturating_add(added).min(self.full);
        self.filled_at = self.filled_at.max(now);
        let passed = u32::try_from(self.level / LINE).unwrap_or(u32::MAX).min(lines);
        self.level = self.level.saturating_sub(u64::from(passed).saturating_mul(LINE));
        if passed < lines {
            if self.gone == 0 {
                self.notice_at = now.saturating_add(NOTICE_EVERY);
            }
            self.gone = self.gone.saturating_add(u64::from(lines - passed));
        }
        passed
    }

    /// The lines in the long run.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        self.per_second
    }

    /// When the next notice is due, in microseconds.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        (self.gone > 0).then_some(self.notice_at)
    }

    /// How many lines a notice has to speak of, if one is due.
    pub fn notice(&mut self, now: u64) -> Option<u64> {
        self.due().filter(|due| *due <= now)?;
        Some(std::mem::take(&mut self.gone))
    }

    /// The same at the end, due or not.
    pub fn last_notice(&mut self) -> Option<u64> {
        self.notice(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_does() {
        let mut limit = Limit::new(10, 100, 0);
        assert_eq!(limit.take(250, 0), 100);
        assert_eq!(limit.take(5, 100_000), 1);
        assert_eq!(limit.notice(999_999), None);
        assert_eq!(limit.notice(1_000_000), Some(154));
        assert_eq!(limit.notice(9_000_000), None);
        assert_eq!(limit.take(30, 2_100_000), 20);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let mut limit = Limit::new(1000, 1, 5_000_000);
        assert_eq!(limit.take(1, 5_000_000), 1);
        assert_eq!(limit.take(1, 1_000_000), 0);
        assert_eq!(limit.take(1, 5_001_000), 1);
    }

    proptest! {
        #[test]
        fn what_passed_and_what_is_noticed_is_what_was_written(
            steps in prop::collection::vec((0..3_000_000_u64, 0..500_u32), 1..60),
            rate in 0..2000_u32, burst in 0..300_u32,
        ) {
            let (mut limit, mut now) = (Limit::new(rate, burst, 0), 0);
            let (mut written, mut passed, mut noticed) = (0_u64, 0_u64, 0_u64);
            for (pause, lines) in steps {
                now += pause;
                written += u64::from(lines);
                passed += u64::from(limit.take(lines, now));
                noticed += limit.notice(now).unwrap_or(0);
                let most = u64::from(burst.max(1)) + now * u64::from(rate) / 1_000_000;
                prop_assert!(passed <= most);
            }
            noticed += limit.last_notice().unwrap_or(0);
            prop_assert_eq!(passed + noticed, written);
        }
    }
}
