//! Chance without entropy: a small generator whose seed comes from outside.
//!
//! Only pauses and probes are spread with it, nothing is kept secret by it. Saved with the
//! rest, so that a test replays a run and a re-exec goes on where it was.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A xorshift64* generator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jitter(u64);

impl Jitter {
    /// From a seed; all are good.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }

    /// `time`, longer or shorter by up to `percent` of a hundred.
    pub fn spread(&mut self, time: Duration, percent: u32) -> Duration {
        let width = u64::from(percent).saturating_mul(2).saturating_add(1);
        let shift = u32::try_from(self.next().checked_rem(width).unwrap_or(0)).unwrap_or(0);
        let hundredths = 100_u32.saturating_sub(percent).saturating_add(shift);
        time.saturating_mul(hundredths).checked_div(100).unwrap_or(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_time_stays_within_its_percentage_and_reaches_both_ends() {
        let mut jitter = Jitter::new(7);
        let times: Vec<u128> =
            (0..2000).map(|_| jitter.spread(Duration::from_secs(1), 20).as_millis()).collect();
        assert_eq!(times.iter().min(), Some(&800));
        assert_eq!(times.iter().max(), Some(&1200));
    }
}
