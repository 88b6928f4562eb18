//! Questions to a service that runs: whether it is ready, and whether it is alive.
//!
//! Counting only: when a question is due, which answer changes what. At most one question of
//! a service is on its way. `checks` lets the states follow from the findings here, and how
//! many questions may be on their way in all is `settle`'s.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::About;
use super::event::Question;
use crate::control::message::Finding;
use crate::monotonic::Monotonic;

/// Between two questions about readiness while a service starts: short, since probed has asked again and again
/// for as long as the answer might take.
pub const STARTING_EVERY: Duration = Duration::from_millis(50);
/// How long an answer about readiness may take.
pub const READINESS_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer about liveness may take.
pub const LIVENESS_WITHIN: Duration = Duration::from_secs(5);
/// How much longer probed itself may take before nobody waits for it any more.
pub const GRACE: Duration = Duration::from_secs(3);
/// So many bad answers in a row degrade a service.
pub const BAD_MAX: u8 = 3;
/// So many good ones mend it.
pub const GOOD_MIN: u8 = 2;
/// Questions on their way in all.
pub const ASKED_MAX: usize = 8;
/// How far questions are spread, in percent.
pub const SPREAD: u32 = 25;
/// How long nobody is judged by its liveness after the machine slept.
pub const SUSPENSION: Duration = Duration::from_secs(60);

/// A question on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its number.
    pub question: Question,
    /// What it is about.
    pub about: About,
    /// Nobody waits longer.
    pub until: Monotonic,
}

/// A service's questions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// When to ask whether it is ready.
    pub readiness: Option<Monotonic>,
    /// When to ask whether it is alive.
    pub liveness: Option<Monotonic>,
    /// When its next `WATCHDOG=1` is overdue.
    pub watchdog: Option<Monotonic>,
    /// What is being asked.
    pub asked: Option<Asked>,
    bad: u8,
    good: u8,
    missed: u8,
    unclear: u32,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Same,
    /// It is not ready.
    Bad,
    /// It is ready.
    Good,
}

impl Health {
    /// What is due next, and when.
    #[must_use]
    pub fn due(&self) -> Option<(Monotonic, About)> {
        if self.asked.is_some() {
            return None;
        }
        let readiness = self.readiness.map(|at| (at, About::Readiness));
        let liveness = self.liveness.map(|at| (at, About::Liveness));
        [readiness, liveness].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When time itself changes something, questions that are due apart.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        let overdue = self.asked.map(|asked| asked.until);
        [overdue, self.watchdog].into_iter().flatten().min()
    }

    /// Counts an answer about readiness.
    pub fn heard(&mut self, finding: Finding) -> Verdict {
        match finding {
            Finding::Good => {
                self.bad = 0;
                self.good = self.good.saturating_add(1);
                if self.good >= GOOD_MIN { Verdict::Good } else { Verdict::Same }
            }
            Finding::Bad => {
                self.good = 0;
                self.bad = self.bad.saturating_add(1);
                if self.bad >= BAD_MAX { Verdict::Bad } else { Verdict::Same }
            }
            Finding::CouldNotAsk => {
                self.unclear = self.unclear.saturating_add(1);
                Verdict::Same
            }
        }
    }

    /// Counts a sign of life, or its absence; whether too many were missed.
    pub fn pulse(&mut self, finding: Finding, most: u8) -> bool {
        match finding {
            Finding::Good => self.missed = 0,
            Finding::Bad => self.missed = self.missed.saturating_add(1),
            Finding::CouldNotAsk => self.unclear = self.unclear.saturating_add(1),
        }
        self.missed >= most.max(1)
    }

    /// Nobody is judged by what was heard so far.
    pub fn pardon(&mut self) {
        self.missed = 0;
    }

    /// Good answers from before do not count any more.
    pub fn doubt(&mut self) {
        self.good = 0;
    }

    /// How often something could not be asked.
    #[must_use]
    pub fn unclear(&self) -> u32 {
        self.unclear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bad_answers_in_a_row_degrade_and_two_good_ones_mend() {
        let mut health = Health::default();
        let heard = [Finding::Bad, Finding::Bad, Finding::Good, Finding::Bad, Finding::Bad, Finding::Bad];
        let verdicts = heard.map(|finding| health.heard(finding));
        assert_eq!(verdicts[4], Verdict::Same);
        assert_eq!(verdicts[5], Verdict::Bad);
        assert_eq!(health.heard(Finding::Good), Verdict::Same);
        assert_eq!(health.heard(Finding::Good), Verdict::Good);
    }

    #[test]
    fn what_could_not_be_asked_counts_neither_way() {
        let mut health = Health::default();
        health.heard(Finding::Bad);
        health.heard(Finding::Bad);
        assert_eq!(health.heard(Finding::CouldNotAsk), Verdict::Same);
        assert_eq!(health.heard(Finding::Bad), Verdict::Bad, "it was the third in a row");
        assert!((0..9).all(|_| !health.pulse(Finding::CouldNotAsk, 1)));
        assert_eq!(health.unclear(), 10);
    }
}
