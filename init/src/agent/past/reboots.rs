//! The reboots that PID 1 asked for, by the wall clock: those of the last 24 hours count.
//!
//! A clock may be wrong, also before it is set: what lies in the future counts, too, since rebooting
//! too seldom does less harm than too often. Text in, text out.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// So many are remembered.
const KEPT: usize = 16;
/// For so long they count.
const COUNTS: SignedDuration = SignedDuration::from_hours(24);

/// When it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Reboots {
    at: Vec<Timestamp>,
}

impl Reboots {
    /// How many count at `now`.
    pub(super) fn lately(&self, now: Timestamp) -> u8 {
        let lately = self.at.iter().filter(|at| now.duration_since(**at) < COUNTS).count();
        u8::try_from(lately).unwrap_or(u8::MAX)
    }

    /// One more.
    pub(super) fn count(&mut self, now: Timestamp) {
        self.at.push(now);
        let spare = self.at.len().saturating_sub(KEPT);
        self.at.drain(..spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn those_of_the_last_day_count_and_those_of_a_wrong_clock_do() {
        let mut reboots = Reboots::default();
        for time in ["2026-01-01T00:00:00Z", "2026-01-02T10:00:00Z", "2040-01-01T00:00:00Z"] {
            reboots.count(at(time));
        }
        let kept: Reboots = toml::from_str(&toml::to_string(&reboots).unwrap()).unwrap();
        assert_eq!(kept.lately(at("2026-01-02T12:00:00Z")), 2);
        assert_eq!(kept.lately(at("1970-01-01T00:00:00Z")), 3);
    }

    #[test]
    fn no_more_are_remembered_than_matter() {
        let mut reboots = Reboots::default();
        (0..100).for_each(|_| reboots.count(at("2026-01-01T00:00:00Z")));
        assert_eq!(reboots.at.len(), KEPT);
    }
}
