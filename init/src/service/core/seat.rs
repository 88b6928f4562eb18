//! One service at one moment, with everything that a decision about it may touch.
//!
//! The one place where states change ([`Seat::enter`]), so that no change goes unrecorded.
//! The decisions themselves are in `start` (from nothing to ready), `checks` (while it runs)
//! and `end` (from asked or dead to nothing left).

use std::time::Duration;

use machine_config::service::{Place, Unit};

use super::action::{Action, Demand, Step};
use super::cause::{Cause, Reason};
use super::event::{Deed, Report};
use super::machine::{Machine, Turn};
use super::member::Member;
use super::state::{Degradation, State};
use crate::control::message::{Stamps, StateName};
use crate::monotonic::Monotonic;

/// One service at one moment.
#[derive(Debug)]
pub struct Seat<'a> {
    /// Where.
    pub place: Place,
    /// What it is.
    pub unit: &'a Unit,
    /// How it is.
    pub member: &'a mut Member,
    /// What it shares.
    pub machine: &'a mut Machine,
}

impl Seat<'_> {
    /// The moment.
    #[must_use]
    pub fn now(&self) -> Monotonic {
        self.machine.now
    }

    /// How long after `moment` that is.
    #[must_use]
    pub fn since(&self, moment: Monotonic) -> Duration {
        self.machine.now.since(moment)
    }

    /// Wants something done.
    pub fn act(&mut self, action: Action) {
        let (service, instance) = (self.place, self.member.run.instance);
        self.machine.steps.push(Step::Service { service, instance, action });
    }

    /// Changes the state, and says so.
    pub fn enter(&mut self, state: State, cause: Cause) {
        let (from, was_up) = (self.member.state.name(), self.member.state.is_up());
        let (to, is_up) = (state.name(), state.is_up());
        let concerns_others = standing(&self.member.state) != standing(&state);
        self.member.state = state;
        if from == to {
            return;
        }
        self.member.since = self.now();
        let stamp = Some(self.now().millis());
        match (from, to) {
            (StateName::Off, _) => self.member.stamps = Stamps { wanted: stamp, ..Stamps::default() },
            (_, StateName::Preparing) => {
                let wanted = self.member.stamps.wanted;
                self.member.stamps = Stamps { wanted, met: stamp, ..Stamps::default() };
            }
            (_, StateName::Starting) => self.member.stamps.started = stamp,
            (StateName::Starting, StateName::Ready) | (_, StateName::Done) => {
                self.member.stamps.ready = stamp
            }
            _ => {}
        }
        self.machine.record(Some(self.place), Some((from, to)), cause);
        self.machine.unsettled |= concerns_others;
        match (was_up, is_up) {
            (true, false) => self.machine.turns.push(Turn::Lost(self.place)),
            (false, true) => self.machine.turns.push(Turn::Back(self.place)),
            _ => {}
        }
    }

    /// Adds to the record what is no change of state.
    pub fn note(&mut self, cause: Cause) {
        self.machine.record(Some(self.place), None, cause);
    }

    /// Wants a person to look, until it is well again.
    pub fn alarm(&mut self, cause: Cause) {
        self.member.alarm = Some(cause.words(|_| "a need"));
        self.tell(cause);
    }

    /// Wants a person to know.
    pub fn tell(&mut self, cause: Cause) {
        let why = cause.words(|_| "a need");
        self.note(cause);
        self.machine.steps.push(Step::Machine(Demand::Alarm { service: self.place, why }));
    }

    /// It is to end as soon as those before it have; a reason that counts as a failure goes first.
    pub fn leave(&mut self, why: Reason) {
        let graver = self.member.leave.is_none_or(|earlier| why.is_failure() && !earlier.is_failure());
        if self.member.state.runs() && graver {
            self.member.leave = Some(why);
            self.machine.unsettled = true;
        }
    }

    /// Takes a report about the present instance; `met` is whether its hard needs are there.
    pub fn hear(&mut self, report: Report, met: bool) {
        match report {
            Report::Prepared => self.prepared(met),
            Report::StepEnded { kind, index, how } => self.step_ended(kind, index, how, met),
            Report::Started { overlay } => self.started(overlay),
            Report::Ended(how) => self.ended(how),
            Report::SaidReady => self.said_ready(),
            Report::SaidReloading => self.said_reloading(),
            Report::Extended(time) => self.extended(time),
            Report::Pinged => self.pinged(),
            Report::WroteReady => self.wrote_ready(),
            Report::GroupEmpty => self.group_empty(),
            Report::GroupRemoved => self.group_removed(),
            Report::ReloadEnded(how) => self.reload_ended(&how),
            Report::OutOfMemory => self.out_of_memory(),
            Report::CouldNot(deed, why) => self.could_not(deed, &why),
        }
    }

    fn could_not(&mut self, deed: Deed, why: &str) {
        let why = super::journal::bounded(why);
        match (deed, &self.member.state) {
            (Deed::Prepare, State::Preparing { .. }) => self.not_prepared(why),
            (Deed::Signal, State::Reloading { .. }) => self.reload_failed(why),
            // Whatever else it was is tried again when its deadline comes.
            _ => self.note(Cause::CouldNot(deed, why)),
        }
    }

    /// Does what is due.
    pub fn time(&mut self) {
        if self.member.state.deadline().is_some_and(|deadline| deadline <= self.now()) {
            match self.member.state.clone() {
                State::Preparing { .. } => self.prepares_slowly(),
                State::Starting(deadline) => self.starts_slowly(deadline),
                State::Reloading { .. } => self.reload_failed("no sign of it in time".to_owned()),
                State::Backoff { .. } => self.enter(State::Waiting, Cause::PauseOver),
                State::Stopping { why, .. } => self.kill(why, Cause::TooSlow),
                State::Killing { why, doom } => self.lingers(why, doom),
                State::Cleaning { stage, then } => self.cleans_slowly(stage, then),
                _ => {}
            }
        }
        self.check_time();
        self.judge();
    }

    /// When [`Self::time`] has something to do.
    #[must_use]
    pub fn deadline(unit: &Unit, member: &Member, machine: &Machine) -> Option<Monotonic> {
        let is_judged = member.desired && member.hold.is_none() && machine.ending.is_none();
        let judged = member.failures.deadline(unit.class, machine.history).filter(|_| is_judged);
        [member.state.deadline(), member.run.health.deadline(), judged].into_iter().flatten().min()
    }
}

/// What a state is to others, and to the rounds of `settle`: only a change of that makes another round.
fn standing(state: &State) -> StateName {
    match state.name() {
        StateName::Preparing | StateName::Starting => StateName::Starting,
        StateName::Stopping | StateName::Killing | StateName::Cleaning => StateName::Stopping,
        name => name,
    }
}

/// The states in which a main process is past its start.
#[must_use]
pub fn works(state: &State) -> bool {
    matches!(
        state,
        State::Ready | State::Degraded(Degradation::Probe | Degradation::Reload) | State::Reloading { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::super::state::{Cleanup, ReloadSign, StartDeadline, Then};
    use super::*;

    #[test]
    fn what_waits_for_something_has_a_deadline_and_what_rests_has_none() {
        let at = Monotonic::from_millis(5);
        assert_eq!(State::Backoff { until: at }.deadline(), Some(at));
        assert_eq!(State::Starting(StartDeadline::None).deadline(), None);
        let removing = Cleanup::Removing { again: at, until: at.after(Duration::from_secs(1)) };
        assert_eq!(State::Cleaning { stage: removing, then: Then::Rest }.deadline(), Some(at));
        let reloading = State::Reloading { sign: ReloadSign::Ready, since: at, until: at };
        assert!(reloading.is_up() && works(&reloading));
        for state in [State::Off, State::Waiting, State::Ready, State::Failed, State::Done] {
            assert_eq!(state.deadline(), None);
        }
    }
}
