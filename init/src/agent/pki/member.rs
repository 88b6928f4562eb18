//! May this etcd member start?
//!
//! An etcd that has lost its data and is started as new founds a second cluster when
//! nobody answers it, or is told off by the others when somebody does: data loss either
//! way. So STATE remembers that the machine has been a member, and DATA must agree.

/// What the disk shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traces {
    /// STATE says that it has been a member.
    pub marker: bool,
    /// DATA holds a member's log.
    pub data: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start; as soon as there is data, remember it.
    StartAndRemember,
    /// Start.
    Start,
    /// Do not.
    Refuse,
}

/// What is said when it may not.
pub(super) const REFUSED: &str = "etcd is not started: this machine has been a member, but its data is gone. \
    Starting it empty could found a second cluster; remove the member and add it again";

/// Decides.
pub(super) fn may_start(traces: Traces) -> Verdict {
    match traces {
        Traces { marker: true, data: false } => Verdict::Refuse,
        Traces { marker: true, data: true } => Verdict::Start,
        // Not even the first start got as far as a log, or the power failed before the marker.
        Traces { marker: false, .. } => Verdict::StartAndRemember,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_lost_its_data_does_not_start() {
        assert_eq!(may_start(Traces { marker: true, data: false }), Verdict::Refuse);
    }

    #[test]
    fn a_first_start_that_was_cut_short_may_be_tried_again() {
        assert_eq!(may_start(Traces { marker: false, data: false }), Verdict::StartAndRemember);
        assert_eq!(may_start(Traces { marker: false, data: true }), Verdict::StartAndRemember);
        assert_eq!(may_start(Traces { marker: true, data: true }), Verdict::Start);
    }
}
