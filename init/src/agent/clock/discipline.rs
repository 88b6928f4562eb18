//! What to do about an offset, and what to do without any answer.
//!
//! Pure: offsets and times in, decisions out. The offset is what must be added to the
//! machine's clock.

use jiff::{SignedDuration, Timestamp};

/// Below this an offset is the network's jitter.
const NOISE: SignedDuration = SignedDuration::from_millis(1);
/// Up to this the clock is nudged at the start: certificates bear it, and logs stay in order.
const SLEW_MAX_AT_START: SignedDuration = SignedDuration::from_millis(100);
/// Up to this it is nudged later: what the kernel's 500 ppm make good in ten minutes.
const SLEW_MAX_LATER: SignedDuration = SignedDuration::from_millis(300);
/// How long dependents wait for an answer when the clock may be right anyway.
const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

/// When an answer arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing depends on the clock yet, or nobody has ever answered.
    Start,
    /// It has been right before.
    Later,
}

/// What an offset calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Correction {
    /// Nothing.
    None,
    /// Running a little faster or slower.
    Slew,
    /// Setting it.
    Step,
}

/// Decides about an offset.
pub(super) fn correction(offset: SignedDuration, phase: Phase) -> Correction {
    let limit = match phase {
        Phase::Start => SLEW_MAX_AT_START,
        Phase::Later => SLEW_MAX_LATER,
    };
    match offset.abs() {
        offset if offset < NOISE => Correction::None,
        offset if offset <= limit => Correction::Slew,
        _ => Correction::Step,
    }
}

/// What to do while nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Ask again; the machine waits.
    Wait,
    /// Ask again, but let the machine go on with its own clock.
    GoOn,
    /// Ask again; the machine cannot go on, because its clock is certainly wrong.
    Stuck,
}

/// Decides after `waited` without an answer.
pub(super) fn unanswered(waited: SignedDuration, clock: Timestamp, built: Timestamp) -> Unanswered {
    if waited < PATIENCE {
        Unanswered::Wait
    } else if clock >= built {
        Unanswered::GoOn
    } else {
        Unanswered::Stuck
    }
}

/// Whether an answer can be true: nobody's time is before the image's.
pub(super) fn is_plausible(answer: Timestamp, built: Timestamp) -> bool {
    answer >= built
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> Timestamp {
        "2026-11-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_small_offset_is_nudged_away_and_a_large_one_set() {
        for (ms, phase, expected) in [
            (0, Phase::Start, Correction::None),
            (-20, Phase::Start, Correction::Slew),
            (-101, Phase::Start, Correction::Step),
            (101, Phase::Later, Correction::Slew),
            (86_400_000, Phase::Later, Correction::Step),
        ] {
            assert_eq!(correction(SignedDuration::from_millis(ms), phase), expected, "{ms} ms, {phase:?}");
        }
    }

    #[test]
    fn a_machine_goes_on_without_an_answer_only_if_its_clock_may_be_right() {
        let (later, earlier) = (built() + SignedDuration::from_hours(1), Timestamp::UNIX_EPOCH);
        assert_eq!(unanswered(SignedDuration::from_secs(1), later, built()), Unanswered::Wait);
        assert_eq!(unanswered(SignedDuration::from_secs(3), later, built()), Unanswered::GoOn);
        assert_eq!(unanswered(SignedDuration::from_secs(300), earlier, built()), Unanswered::Stuck);
    }

    #[test]
    fn a_server_that_lives_before_the_image_is_not_believed() {
        assert!(!is_plausible(Timestamp::UNIX_EPOCH, built()));
        assert!(is_plausible(built(), built()));
    }
}
