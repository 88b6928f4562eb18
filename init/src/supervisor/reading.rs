//! Whether logd reads what services print, decided from when something lay in their pipes.
//!
//! Nothing is asked while nobody prints. The first byte after a silence is told by epoll; what still lies
//! somewhere a second later has logd asked whether it reads, and who does not answer hangs. So a
//! machine at rest is not woken for it. A pipe that is about to be full does not wait for that answer: no service
//! waits longer for a logd that hangs than for one that is gone, which is two seconds. Sooner is not to be had:
//! nothing tells that a pipe is full but looking, and logd is busy for a moment now and then. Pure: `logs` does it.

use std::time::Duration;

use crate::monotonic::Monotonic;

/// From the first byte to a look: by then a logd that works has taken it.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Between looks whether there is room left, as long as logd owes an answer.
const ROOM_EVERY: Duration = Duration::from_millis(250);
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
    /// It lay there still, and logd was asked; room was looked for later.
    Asked { at: Monotonic, looked: Monotonic },
    /// Some service would have to wait before logd, asked then, has answered: nobody does, and what they print is lost.
    Overrun { asked: Monotonic },
}

/// The fullest of all pipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    /// Nothing lies in any.
    Empty,
    /// There is room.
    Some,
    /// Its service may have to wait soon.
    Full,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing.
    Fine,
    /// logd is to be asked.
    Ask,
    /// What is printed is to be dropped until logd answers.
    Drop,
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
        if matches!(self, Self::Asked { .. } | Self::Overrun { .. }) {
            *self = Self::Printed(now);
        }
    }

    /// When [`Self::look`] has something to do.
    pub(super) fn due(self, strained: bool) -> Option<Monotonic> {
        match self {
            Self::AtRest => None,
            Self::Printed(at) => Some(at.after(LOOK_AFTER)),
            Self::Asked { at, looked } => Some(looked.after(ROOM_EVERY).min(hangs(at, strained))),
            Self::Overrun { asked } => Some(hangs(asked, strained)),
        }
    }

    /// Looks how full pipes are, if it is time.
    pub(super) fn look(&mut self, now: Monotonic, strained: bool, fill: impl FnOnce() -> Fill) -> Look {
        if self.due(strained).is_none_or(|due| now < due) {
            return Look::Fine;
        }
        // If nothing is done about it, it is asked again.
        let hung = (Self::Printed(now), Look::Hangs);
        let (state, look) = match *self {
            Self::AtRest => (Self::AtRest, Look::Fine),
            Self::Printed(_) => match fill() {
                Fill::Empty => (Self::AtRest, Look::Fine),
                _ => (Self::Asked { at: now, looked: now }, Look::Ask),
            },
            // Pipes are empty because they are emptied, which is not logd's doing.
            Self::Overrun { .. } => hung,
            Self::Asked { at, .. } => match fill() {
                Fill::Empty => (Self::AtRest, Look::Fine),
                _ if now >= hangs(at, strained) => hung,
                Fill::Some => (Self::Asked { at, looked: now }, Look::Fine),
                Fill::Full => (Self::Overrun { asked: at }, Look::Drop),
            },
        };
        *self = state;
        look
    }
}

/// When a logd that was asked then is one that hangs.
fn hangs(asked: Monotonic, strained: bool) -> Monotonic {
    asked.after(if strained { ANSWER_WITHIN_UNDER_STRAIN } else { ANSWER_WITHIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    fn asked(millis: u64) -> Reading {
        Reading::Asked { at: at(millis), looked: at(millis) }
    }

    #[test]
    fn nobody_is_asked_as_long_as_pipes_are_emptied() {
        let mut reading = Reading::AtRest;
        assert_eq!(reading.due(false), None, "a machine at rest is not woken");
        reading.printed(at(100));
        reading.printed(at(900));
        assert_eq!(reading.due(false), Some(at(1100)));
        assert_eq!(reading.look(at(1099), false, || panic!("it is too early")), Look::Fine);
        assert_eq!(reading.look(at(1100), false, || Fill::Empty), Look::Fine);
        assert_eq!(reading, Reading::AtRest);
    }

    #[test]
    fn a_logd_that_answers_may_be_as_slow_as_it_likes() {
        let mut reading = Reading::Printed(at(0));
        for second in 1..10 {
            assert_eq!(reading.look(at(second * 1000), false, || Fill::Full), Look::Ask);
            reading.answered(at(second * 1000));
        }
        assert_eq!(reading.look(at(10_000), false, || Fill::Empty), Look::Fine);
        reading.answered(at(10_001));
        assert_eq!(reading, Reading::AtRest, "an answer that nobody waits for is none");
    }

    /// Looks whenever it is due from then on; what came of it when it was not fine.
    fn looks(reading: &mut Reading, strained: bool, fill: Fill) -> (Look, Monotonic) {
        loop {
            let due = reading.due(strained).unwrap();
            match reading.look(due, strained, || fill) {
                Look::Fine => {}
                look => return (look, due),
            }
        }
    }

    #[test]
    fn a_logd_that_does_not_answer_hangs_unless_its_pipes_are_empty_after_all() {
        let mut reading = asked(1000);
        assert_eq!(looks(&mut reading, false, Fill::Some), (Look::Hangs, at(3000)));
        assert_eq!(looks(&mut reading, false, Fill::Some), (Look::Ask, at(4000)), "it was spared");
        let mut reading = asked(1000);
        assert_eq!(reading.look(at(3000), false, || Fill::Empty), Look::Fine);
        assert_eq!(reading, Reading::AtRest);
    }

    #[test]
    fn while_the_cpu_is_short_an_answer_may_take_longer() {
        assert_eq!(looks(&mut asked(1000), true, Fill::Some), (Look::Hangs, at(11_000)));
    }

    #[test]
    fn nobody_waits_for_room_until_a_silent_logd_counts_as_one_that_hangs() {
        for strained in [false, true] {
            let mut reading = asked(1000);
            assert_eq!(reading.look(at(1250), strained, || Fill::Some), Look::Fine);
            assert_eq!(looks(&mut reading, strained, Fill::Full), (Look::Drop, at(1500)));
            let hangs = if strained { 11_000 } else { 3000 };
            // Its pipes are empty, since they were emptied.
            assert_eq!(looks(&mut reading, strained, Fill::Empty), (Look::Hangs, at(hangs)));
            let mut reading = Reading::Overrun { asked: at(1000) };
            reading.answered(at(1600));
            assert_eq!(reading, Reading::Printed(at(1600)), "it reads after all");
        }
    }
}
