//! Whether logd reads what services print, decided from when something lay in their pipes.
//!
//! Nothing is asked while nobody prints. The first byte after a silence is told by epoll; what still lies
//! somewhere a second later has logd asked whether it reads, and who does not answer hangs. So a
//! machine at rest is not woken for it, and a service waits seconds at most. Pure: `logs` does it.

use std::time::Duration;

use crate::monotonic::Monotonic;

/// From the first byte to a look: by then a logd that works has taken it.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// How long logd may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The same while the CPU is too short for all: then slow is not dead.
const ANSWER_WITHIN_UNDER_STRAIN: Duration = Duration::from_secs(10);

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All pipes were empty when last seen; the next byte is told.
    AtRest,
    /// Something lay in a pipe at that moment.
    Printed(Monotonic),
    /// It lay there still, and logd was asked then.
    Asked(Monotonic),
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing.
    Fine,
    /// logd is to be asked.
    Ask,
    /// It does not read.
    Hangs,
}

impl Reading {
    /// Something lies in a pipe.
    pub(super) fn printed(&mut self, now: Monotonic) {
        if *self == Self::AtRest {
            *self = Self::Printed(now);
        }
    }

    /// logd says that it reads; whether there is less to read is seen with the next look.
    pub(super) fn answered(&mut self, now: Monotonic) {
        if matches!(self, Self::Asked(_)) {
            *self = Self::Printed(now);
        }
    }

    /// When [`Self::look`] has something to do.
    pub(super) fn due(self, strained: bool) -> Option<Monotonic> {
        match self {
            Self::AtRest => None,
            Self::Printed(at) => Some(at.after(LOOK_AFTER)),
            Self::Asked(at) if strained => Some(at.after(ANSWER_WITHIN_UNDER_STRAIN)),
            Self::Asked(at) => Some(at.after(ANSWER_WITHIN)),
        }
    }

    /// Looks whether `is_empty`, if it is time.
    pub(super) fn look(&mut self, now: Monotonic, strained: bool, is_empty: impl FnOnce() -> bool) -> Look {
        if self.due(strained).is_none_or(|due| now < due) {
            return Look::Fine;
        }
        let asked = matches!(self, Self::Asked(_));
        if is_empty() {
            *self = Self::AtRest;
            return Look::Fine;
        }
        if asked {
            // If nothing is done about it, it is asked again.
            *self = Self::Printed(now);
            return Look::Hangs;
        }
        *self = Self::Asked(now);
        Look::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    #[test]
    fn nobody_is_asked_as_long_as_pipes_are_emptied() {
        let mut reading = Reading::AtRest;
        assert_eq!(reading.due(false), None, "a machine at rest is not woken");
        reading.printed(at(100));
        reading.printed(at(900));
        assert_eq!(reading.due(false), Some(at(1100)));
        assert_eq!(reading.look(at(1099), false, || panic!("it is too early")), Look::Fine);
        assert_eq!(reading.look(at(1100), false, || true), Look::Fine);
        assert_eq!(reading, Reading::AtRest);
    }

    #[test]
    fn a_logd_that_answers_may_be_as_slow_as_it_likes() {
        let mut reading = Reading::Printed(at(0));
        for second in 1..10 {
            assert_eq!(reading.look(at(second * 1000), false, || false), Look::Ask);
            reading.answered(at(second * 1000));
        }
        assert_eq!(reading.look(at(10_000), false, || true), Look::Fine);
        reading.answered(at(10_001));
        assert_eq!(reading, Reading::AtRest, "an answer that nobody waits for is none");
    }

    #[test]
    fn a_logd_that_does_not_answer_hangs_unless_its_pipes_are_empty_after_all() {
        let mut reading = Reading::Asked(at(1000));
        assert_eq!(reading.look(at(2999), false, || false), Look::Fine);
        assert_eq!(reading.look(at(3000), false, || false), Look::Hangs);
        assert_eq!(reading.look(at(4000), false, || false), Look::Ask, "it was spared");
        let mut reading = Reading::Asked(at(1000));
        assert_eq!(reading.look(at(3000), false, || true), Look::Fine);
        assert_eq!(reading, Reading::AtRest);
    }

    #[test]
    fn while_the_cpu_is_short_an_answer_may_take_longer() {
        let mut reading = Reading::Asked(at(1000));
        assert_eq!(reading.look(at(3000), true, || false), Look::Fine);
        assert_eq!(reading.due(true), Some(at(11_000)));
        assert_eq!(reading.look(at(11_000), true, || false), Look::Hangs);
    }
}
