//! From nothing to ready: the group, the steps before the start, the main process, its word.
//!
//! Needs and the latch are looked at before every process, not only before the first: a step
//! may take a minute. Who may begin at all is `settle`'s.

use std::time::Duration;

use machine_config::service::{Liveness, Ready};

use super::action::Action;
use super::cause::{Cause, Failure, Reason};
use super::end::Left;
use super::event::{Digest, Ending, StepKind};
use super::member::Run;
use super::seat::Seat;
use super::state::{EXTENSION_MAX, PREPARE_WITHIN, Preparation, SLOW_START, StartDeadline, State, Then};

impl Seat<'_> {
    /// Begins a start.
    pub fn prepare(&mut self) {
        let member = &mut *self.member;
        member.run = Run { instance: self.machine.instance(), ..Run::default() };
        member.starts = member.starts.saturating_add(1);
        member.served = self.machine.serve();
        member.leave = None;
        member.lost.fill(false);
        let until = self.now().after(PREPARE_WITHIN);
        self.enter(State::Preparing { stage: Preparation::Group, until }, Cause::NeedsMet);
        self.act(Action::Prepare);
    }

    pub(super) fn prepared(&mut self, met: bool) {
        if let State::Preparing { stage: Preparation::Group, .. } = self.member.state {
            self.member.run.prepared = true;
            self.member.stamps.prepared = Some(self.now().millis());
            self.advance(0, met);
        }
    }

    pub(super) fn not_prepared(&mut self, why: String) {
        self.fail(Failure::NotPrepared(why), Left::Perhaps);
    }

    pub(super) fn prepares_slowly(&mut self) {
        self.fail(Failure::PreparesSlowly, Left::Perhaps);
    }

    pub(super) fn step_ended(&mut self, kind: StepKind, index: u16, how: Ending, met: bool) {
        self.member.run.step = false;
        match (kind, &self.member.state) {
            (StepKind::Before, State::Preparing { stage: Preparation::Step(at), .. }) if *at == index => {
                if how == Ending::Status(0) {
                    self.advance(index.saturating_add(1), met);
                } else {
                    self.fail(Failure::Step(index, how), Left::Perhaps);
                }
            }
            _ => self.cleanup_step_ended(kind, index, how),
        }
    }

    /// Runs the step `next`, or the main process after the last one.
    fn advance(&mut self, next: u16, met: bool) {
        let State::Preparing { until, .. } = self.member.state else { return };
        if !met || self.machine.ending.is_some() {
            return self.clean(Then::Rest, Cause::NeedGone, Left::Perhaps);
        }
        if usize::from(next) < self.unit.before_start.len() {
            self.member.run.step = true;
            self.enter(State::Preparing { stage: Preparation::Step(next), until }, Cause::Prepared);
            return self.act(Action::RunStep { kind: StepKind::Before, index: next });
        }
        let now = self.now();
        self.member.run.main = true;
        self.member.run.started = Some(now);
        let deadline = match self.unit.start_timeout {
            Some(time) => StartDeadline::Fails(now.after(time.duration())),
            None => StartDeadline::Tells(now.after(SLOW_START)),
        };
        self.enter(State::Starting(deadline), Cause::Prepared);
        self.act(Action::StartMain);
        if matches!(self.unit.ready, Ready::Probe { .. }) {
            self.member.run.health.readiness = Some(now);
        }
    }

    pub(super) fn started(&mut self, overlay: Option<Digest>) {
        self.member.overlay = overlay;
        self.member.run.executed = true;
        self.member.stamps.executed = Some(self.now().millis());
        if self.member.run.applied.take().is_some_and(|applied| applied != overlay) {
            self.leave(Reason::Applied);
        }
        if matches!((&self.member.state, &self.unit.ready), (State::Starting(_), Ready::Exec)) {
            self.become_ready();
        }
    }

    pub(super) fn wrote_ready(&mut self) {
        if matches!((&self.member.state, &self.unit.ready), (State::Starting(_), Ready::Descriptor(_))) {
            self.become_ready();
        }
    }

    /// It said so itself, or answered.
    pub(super) fn become_ready(&mut self) {
        let now = self.now();
        let after = self.member.ran_for(now);
        self.is_good();
        self.member.run.ready = Some(now);
        if let Some(Liveness { ask, every, .. }) = &self.unit.liveness {
            let first = Some(now.after(every.duration()));
            let health = &mut self.member.run.health;
            (health.liveness, health.watchdog) = if ask.is_some() { (first, None) } else { (None, first) };
        }
        self.enter(State::Ready, Cause::Ready(after));
    }

    /// Whatever was wrong with it before is over.
    pub(super) fn is_good(&mut self) {
        self.member.was_ready = true;
        self.member.attempts = 0;
        self.member.alarm = None;
        self.member.failures.recovered();
    }

    pub(super) fn extended(&mut self, time: Duration) {
        if let State::Starting(StartDeadline::Fails(until)) = self.member.state {
            let later = self.now().after(time.min(EXTENSION_MAX)).max(until);
            self.member.state = State::Starting(StartDeadline::Fails(later));
        }
    }

    pub(super) fn starts_slowly(&mut self, deadline: StartDeadline) {
        // Those that depend on it may have to end first: the deadline is over, the state is not.
        self.member.state = State::Starting(StartDeadline::None);
        match deadline {
            StartDeadline::Fails(_) => self.leave(Reason::StartTimeout),
            StartDeadline::Tells(_) => self.alarm(Cause::StartsSlowly),
            StartDeadline::None => {}
        }
    }
}
