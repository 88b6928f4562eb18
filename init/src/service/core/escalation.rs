//! What many failures of one service mean: an alarm, a degraded node, in the end a reboot.
//!
//! Only services of class `node` are ever a reason to reboot, and only for failures of their
//! own: one that waits for others is not failing, so that a lost quorum never becomes a storm
//! of reboots. The count of reboots comes from outside and goes there again.

use std::time::Duration;

use machine_config::service::Class;
use serde::{Deserialize, Serialize};

use super::action::Slot;
use crate::monotonic::Monotonic;

/// The time in which failures are counted.
pub const WINDOW: Duration = Duration::from_secs(600);
/// So many failures are an alarm.
pub const ALARM: usize = 5;
/// So many mean that the node does not do its work.
pub const DEGRADED: usize = 15;
/// How long a node's service may fail on an image that was never confirmed.
pub const UNCONFIRMED_WITHIN: Duration = Duration::from_secs(600);
/// How long it may fail on a confirmed one.
pub const CONFIRMED_WITHIN: Duration = Duration::from_secs(1800);
/// How many reboots of that kind 24 hours may see.
pub const REBOOTS_MAX: u8 = 2;

/// What survives reboots, as the shell read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Whether the image that runs was confirmed as good.
    pub confirmed: bool,
    /// Reboots that the core asked for in the last 24 hours.
    pub reboots: u8,
}

/// A service's latest failures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// At most [`DEGRADED`], the latest last.
    times: Vec<Monotonic>,
    /// The first failure since it was last ready.
    failing_since: Option<Monotonic>,
    /// Whether a reboot for it was asked for, or declined.
    judged: bool,
}

/// What failures mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing yet.
    None,
    /// People are told.
    Alarm,
    /// The node does not do its work.
    Degraded,
}

/// What is to be done about a service that has failed for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Reboot.
    Reboot(Slot),
    /// Rebooting did not help.
    StayUp,
}

impl Failures {
    /// Counts a failure; what it means beyond what the ones before did.
    pub fn count(&mut self, now: Monotonic) -> (Level, u8) {
        self.failing_since.get_or_insert(now);
        let (before, _) = self.level(now);
        if self.times.len() >= DEGRADED {
            self.times.remove(0);
        }
        self.times.push(now);
        let (level, times) = self.level(now);
        (if level > before { level } else { Level::None }, times)
    }

    /// What the latest failures mean at this moment, whether it is ready or not: one that comes and goes is no less
    /// broken than one that is gone. And how many they are, as far as that is counted.
    #[must_use]
    pub fn level(&self, now: Monotonic) -> (Level, u8) {
        let times = self.times.iter().filter(|at| now.since(**at) < WINDOW).count();
        let level = match times {
            0..ALARM => Level::None,
            ALARM..DEGRADED => Level::Alarm,
            _ => Level::Degraded,
        };
        (level, u8::try_from(times).unwrap_or(u8::MAX))
    }

    /// It is ready.
    pub fn recovered(&mut self) {
        self.failing_since = None;
        self.judged = false;
    }

    /// All is forgotten.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// When [`Self::judge`] has something to say.
    #[must_use]
    pub fn deadline(&self, class: Class, history: History) -> Option<Monotonic> {
        let patience = if history.confirmed { CONFIRMED_WITHIN } else { UNCONFIRMED_WITHIN };
        let since = self.failing_since.filter(|_| class == Class::Node && !self.judged)?;
        Some(since.after(patience))
    }

    /// Whether it has failed for too long; said once.
    pub fn judge(&mut self, class: Class, history: History, now: Monotonic) -> Option<Judgement> {
        if self.deadline(class, history)? > now {
            return None;
        }
        self.judged = true;
        Some(match history {
            History { confirmed: false, .. } => Judgement::Reboot(Slot::Previous),
            History { reboots: 0..REBOOTS_MAX, .. } => Judgement::Reboot(Slot::Same),
            _ => Judgement::StayUp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_millis(seconds * 1000)
    }

    const GOOD: History = History { confirmed: true, reboots: 0 };

    #[test]
    fn five_failures_are_an_alarm_fifteen_a_degraded_node_and_old_ones_do_not_count() {
        let mut failures = Failures::default();
        let levels: Vec<Level> = (0..16).map(|n| failures.count(at(n)).0).collect();
        assert_eq!(levels[4], Level::Alarm);
        assert_eq!(levels[14], Level::Degraded);
        assert_eq!(levels.iter().filter(|level| **level != Level::None).count(), 2, "each is told once");
        assert_eq!(failures.count(at(10_000)), (Level::None, 1));
    }

    #[test]
    fn what_failures_mean_lasts_as_long_as_the_window_and_not_only_until_it_is_ready() {
        let mut failures = Failures::default();
        for n in 0..20 {
            failures.count(at(n * 10));
        }
        failures.recovered();
        assert_eq!(failures.level(at(190)), (Level::Degraded, 15));
        assert_eq!(failures.level(at(649)), (Level::Degraded, 15));
        assert_eq!(failures.level(at(650)), (Level::Alarm, 14), "the oldest of the fifteen is too old");
        assert_eq!(failures.level(at(790)), (Level::None, 0));
    }

    #[test]
    fn an_unconfirmed_image_goes_back_after_ten_minutes_a_confirmed_one_reboots_after_thirty() {
        let mut failures = Failures::default();
        failures.count(at(0));
        let fresh = History { confirmed: false, reboots: 0 };
        assert_eq!(failures.clone().judge(Class::Node, fresh, at(599)), None);
        assert_eq!(
            failures.clone().judge(Class::Node, fresh, at(600)),
            Some(Judgement::Reboot(Slot::Previous))
        );
        assert_eq!(failures.judge(Class::Node, GOOD, at(1799)), None);
        assert_eq!(failures.judge(Class::Node, GOOD, at(1800)), Some(Judgement::Reboot(Slot::Same)));
        assert_eq!(failures.judge(Class::Node, GOOD, at(9999)), None, "asked once");
    }

    #[test]
    fn after_two_reboots_in_a_day_the_machine_stays_up() {
        let mut failures = Failures::default();
        failures.count(at(0));
        let worn = History { confirmed: true, reboots: 2 };
        assert_eq!(failures.judge(Class::Node, worn, at(1800)), Some(Judgement::StayUp));
    }

    #[test]
    fn only_a_node_service_that_fails_itself_is_a_reason_to_reboot() {
        let mut failures = Failures::default();
        assert_eq!(failures.deadline(Class::Node, GOOD), None, "it only waits");
        failures.count(at(0));
        assert_eq!(failures.deadline(Class::Critical, GOOD), None);
        assert_eq!(failures.deadline(Class::Ordinary, GOOD), None);
        failures.recovered();
        assert_eq!(failures.deadline(Class::Node, GOOD), None);
    }
}
