//! The machine's end as phases with deadlines: which one is on, and when the next one begins.
//!
//! Times only; what a phase does is `shutdown`'s. A phase ends when its work is done, when its
//! own time is over, or when the phases after it would not have theirs any more. So the last
//! one is reached within the total, whatever services, mounts and disks do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::message::Ending;
use crate::monotonic::Monotonic;

/// How long an orderly end may take.
pub const TOTAL: Duration = Duration::from_secs(240);
/// How long an end may take that a fault of PID 1 began.
pub const TOTAL_AFTER_FAULT: Duration = Duration::from_secs(30);
/// How much later than the total the hardware watchdog bites.
const WATCHDOG_MARGIN: Duration = Duration::from_secs(60);
/// Ctrl-alt-del so often within [`INSISTENCE_WITHIN`] is a second request.
pub const INSISTENCE: usize = 7;
/// See [`INSISTENCE`].
pub const INSISTENCE_WITHIN: Duration = Duration::from_secs(2);

/// A part of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing starts any more, the watchdog is armed, the reason is recorded.
    Latch,
    /// The kubelet is told, and its pods end.
    Announce,
    /// Services are stopped, dependents first.
    Stop,
    /// Whatever is left is killed.
    Kill,
    /// Logs are written out, apid, probed and at last logd are stopped.
    Flush,
    /// File systems are unmounted.
    Unmount,
    /// What is in memory goes to disk.
    Sync,
    /// reboot(2).
    Reboot,
}

impl Phase {
    const ALL: [Phase; 8] = [
        Phase::Latch,
        Phase::Announce,
        Phase::Stop,
        Phase::Kill,
        Phase::Flush,
        Phase::Unmount,
        Phase::Sync,
        Phase::Reboot,
    ];

    /// How long it may take when there is time.
    fn limit(self, entry: Entry) -> Duration {
        let seconds = match (self, entry) {
            (Phase::Latch, _) => 1,
            (Phase::Announce, _) => 60,
            (Phase::Stop, _) => 180,
            (Phase::Kill, _) => 5,
            (Phase::Flush, Entry::Request) => 5,
            (Phase::Flush, Entry::Fault) => 2,
            (Phase::Unmount, Entry::Request) => 60,
            (Phase::Unmount, Entry::Fault) => 12,
            (Phase::Sync, Entry::Request) => 30,
            (Phase::Sync, Entry::Fault) => 10,
            (Phase::Reboot, _) => 0,
        };
        Duration::from_secs(seconds)
    }

    fn next(self) -> Option<Phase> {
        Self::ALL.into_iter().find(|phase| *phase > self)
    }

    /// What all phases after this one need together.
    fn reserve(self, entry: Entry) -> Duration {
        // Announcing and stopping share what is left to them.
        Self::ALL
            .into_iter()
            .filter(|phase| *phase > self && *phase > Phase::Stop)
            .map(|phase| phase.limit(entry))
            .sum()
    }
}

/// What began the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// Somebody asked for it.
    Request,
    /// PID 1 is no longer to be trusted.
    Fault,
}

/// An end on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    ending: Ending,
    entry: Entry,
    phase: Phase,
    end_of_phase: Monotonic,
    end: Monotonic,
}

impl Plan {
    /// Begins it.
    #[must_use]
    pub fn begin(ending: Ending, entry: Entry, now: Monotonic) -> Self {
        let (total, phase) = match entry {
            Entry::Request => (TOTAL, Phase::Latch),
            Entry::Fault => (TOTAL_AFTER_FAULT, Phase::Kill),
        };
        let mut plan = Self { ending, entry, phase, end_of_phase: now, end: now.after(total) };
        plan.enter(phase, now);
        plan
    }

    /// How the machine ends: as it was first asked for.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// What is on.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When the next phase begins at the latest; none once the last one is reached.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        (self.phase != Phase::Reboot).then_some(self.end_of_phase)
    }

    /// When the hardware watchdog is to bite: whoever is still there then hangs.
    #[must_use]
    pub fn bites(&self) -> Monotonic {
        self.end.after(WATCHDOG_MARGIN)
    }

    fn enter(&mut self, phase: Phase, now: Monotonic) {
        self.phase = phase;
        let reserved = phase.reserve(self.entry);
        let latest = self.end.before(reserved);
        self.end_of_phase = now.after(phase.limit(self.entry)).min(latest.max(now));
    }

    /// The work of `phase` is done; whether a new phase began by that.
    pub fn done(&mut self, phase: Phase, now: Monotonic) -> bool {
        match phase.next().filter(|_| phase == self.phase) {
            Some(next) => {
                self.enter(next, now);
                true
            }
            None => false,
        }
    }

    /// Time has passed; whether a new phase began by that.
    pub fn time(&mut self, now: Monotonic) -> bool {
        let mut moved = false;
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            moved |= self.done(self.phase, now);
        }
        moved
    }

    /// It was asked for again: no more patience with services. The kind stays. Whether a new phase began.
    pub fn again(&mut self, now: Monotonic) -> bool {
        let patient = self.phase < Phase::Kill;
        if patient {
            self.enter(Phase::Kill, now);
        }
        patient
    }
}

/// Counts ctrl-alt-del.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insistence(Vec<Monotonic>);

impl Insistence {
    /// Once more; whether that is as good as a second request.
    pub fn press(&mut self, now: Monotonic) -> bool {
        self.0.retain(|at| now.since(*at) <= INSISTENCE_WITHIN);
        if self.0.len() >= INSISTENCE {
            self.0.remove(0);
        }
        self.0.push(now);
        self.0.len() >= INSISTENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_millis(seconds * 1000)
    }

    fn begun() -> Plan {
        Plan::begin(Ending::Reboot, Entry::Request, at(0))
    }

    #[test]
    fn phases_follow_each_other_as_their_work_is_done() {
        let mut plan = begun();
        for phase in Phase::ALL.into_iter().take(7) {
            assert_eq!(plan.phase(), phase);
            assert!(plan.done(phase, at(1)));
            assert!(!plan.done(phase, at(1)), "a phase is done once");
        }
        assert_eq!((plan.phase(), plan.deadline()), (Phase::Reboot, None));
    }

    #[test]
    fn the_last_phase_is_reached_within_the_total_whatever_hangs() {
        for (entry, total) in [(Entry::Request, TOTAL), (Entry::Fault, TOTAL_AFTER_FAULT)] {
            let mut plan = Plan::begin(Ending::PowerOff, entry, at(0));
            let mut now = at(0);
            while let Some(deadline) = plan.deadline() {
                assert!(deadline >= now);
                now = deadline;
                plan.time(now);
            }
            assert!(now <= at(total.as_secs()), "{entry:?}: {now}");
            assert!(plan.bites().since(now) >= WATCHDOG_MARGIN, "{entry:?}: bitten on its way");
            assert_eq!(plan.bites(), at(total.as_secs() + 60), "{entry:?}: however it went");
        }
    }

    #[test]
    fn every_phase_after_the_services_has_its_own_time_even_if_they_take_all_of_theirs() {
        let mut plan = begun();
        plan.done(Phase::Latch, at(0));
        plan.time(at(60));
        assert_eq!((plan.phase(), plan.deadline()), (Phase::Stop, Some(at(140))));
        plan.time(at(140));
        assert_eq!((plan.phase(), plan.deadline()), (Phase::Kill, Some(at(145))));
    }

    #[test]
    fn a_second_request_jumps_to_killing_and_keeps_the_kind() {
        let mut plan = begun();
        assert!(plan.again(at(5)));
        assert_eq!((plan.phase(), plan.ending()), (Phase::Kill, Ending::Reboot));
        plan.done(Phase::Kill, at(6));
        assert!(!plan.again(at(7)), "it is past that");
        assert_eq!(plan.phase(), Phase::Flush);
    }

    #[test]
    fn seven_times_ctrl_alt_del_in_two_seconds_insist_and_slower_ones_do_not() {
        let mut fast = Insistence::default();
        let presses: Vec<bool> = (0..7).map(|n| fast.press(Monotonic::from_millis(n * 300))).collect();
        assert_eq!(presses, [false, false, false, false, false, false, true]);
        let mut slow = Insistence::default();
        assert!((0..50).all(|n| !slow.press(Monotonic::from_millis(n * 500))));
    }
}
