//! While a service runs: what answers, signs of life and reloads make of its state.
//!
//! Thresholds are counted by `health`. A question that nobody answers counts as one that could
//! not be asked; a service is never blamed for probed.

use machine_config::service::{Liveness, OomPolicy, Ready, Reload, Span};

use super::action::{About, Action};
use super::cause::{Cause, Reason};
use super::event::{Ending, Question};
use super::health::{Asked, GRACE, LIVENESS_WITHIN, READINESS_WITHIN, SPREAD, STARTING_EVERY, Verdict};
use super::journal::bounded;
use super::seat::{Seat, works};
use super::state::{Degradation, RELOAD_WITHIN, ReloadSign, State};
use crate::control::message::Finding;
use crate::monotonic::Monotonic;

impl Seat<'_> {
    /// Asks what is due.
    pub fn ask(&mut self, about: About) {
        let question = self.machine.question();
        let within = match about {
            About::Readiness => READINESS_WITHIN,
            About::Liveness => LIVENESS_WITHIN,
        };
        let until = self.now().after(within).after(GRACE);
        self.member.run.health.asked = Some(Asked { question, about, until });
        self.act(Action::Ask { question, about, within });
    }

    /// Takes the answer to `question`, if it is the one that is waited for.
    pub fn answered(&mut self, question: Question, finding: Finding) {
        let health = &mut self.member.run.health;
        let Some(asked) = health.asked.take_if(|asked| asked.question == question) else { return };
        match asked.about {
            About::Readiness => self.readiness_found(finding),
            About::Liveness => self.liveness_found(finding),
        }
    }

    fn readiness_found(&mut self, finding: Finding) {
        let Ready::Probe { every, .. } = self.unit.ready else { return };
        let starting = matches!(self.member.state, State::Starting(_));
        let next = if starting { self.now().after(STARTING_EVERY) } else { self.soon(every) };
        self.member.run.health.readiness = Some(next);
        let verdict = self.member.run.health.heard(finding);
        match (&self.member.state, finding, verdict) {
            (State::Starting(_), Finding::Good, _) => self.become_ready_by_probe(every),
            (State::Reloading { sign: ReloadSign::Answer, .. }, Finding::Good, _) => self.reloaded(),
            (State::Ready | State::Degraded(Degradation::Reload), _, Verdict::Bad) => {
                self.enter(State::Degraded(Degradation::Probe), Cause::ProbesBad);
            }
            (State::Degraded(_), _, Verdict::Good) => self.enter(State::Ready, Cause::ProbesGood),
            _ => {}
        }
    }

    fn become_ready_by_probe(&mut self, every: Span) {
        self.member.run.health.readiness = Some(self.soon(every));
        self.become_ready();
    }

    fn liveness_found(&mut self, finding: Finding) {
        let Some(Liveness { every, .. }) = self.unit.liveness else { return };
        self.member.run.health.liveness = Some(self.soon(every));
        self.pulse(finding);
    }

    fn pulse(&mut self, finding: Finding) {
        let Some(Liveness { failures, .. }) = self.unit.liveness else { return };
        if self.machine.is_suspended() {
            return self.member.run.health.pardon();
        }
        if self.member.run.health.pulse(finding, failures) && works(&self.member.state) {
            self.leave(Reason::Liveness);
        }
    }

    pub(super) fn pinged(&mut self) {
        if let (Some(Liveness { ask: None, every, .. }), Some(_)) =
            (&self.unit.liveness, self.member.run.health.watchdog)
        {
            self.member.run.health.watchdog = Some(self.now().after(every.duration()));
            self.member.run.health.pardon();
        }
    }

    /// About `every` from now, on a full quarter of a second, so that probes share their wake-ups.
    fn soon(&mut self, every: Span) -> Monotonic {
        const QUARTER: u64 = 250;
        let exact = self.machine.now.after(self.machine.jitter.spread(every.duration(), SPREAD)).millis();
        Monotonic::from_millis(exact.div_ceil(QUARTER).saturating_mul(QUARTER))
    }

    pub(super) fn check_time(&mut self) {
        let now = self.now();
        if let Some(asked) = self.member.run.health.asked.filter(|asked| asked.until <= now) {
            self.act(Action::Forget(asked.question));
            self.answered(asked.question, Finding::CouldNotAsk);
        }
        if let (Some(due), Some(Liveness { every, .. })) =
            (self.member.run.health.watchdog, &self.unit.liveness)
            && due <= now
        {
            self.member.run.health.watchdog = Some(now.after(every.duration()));
            self.pulse(Finding::Bad);
        }
    }

    /// Lets it take up changed files; whether it can now.
    pub fn reload(&mut self) -> bool {
        if matches!(self.member.state, State::Reloading { .. }) {
            self.member.run.reload_again = true;
            return true;
        }
        let (Some(how), true) = (&self.unit.reload, works(&self.member.state)) else { return false };
        if matches!(how, Reload::Signal(_)) && !self.member.run.main {
            return false;
        }
        let sign = match (how, &self.unit.ready) {
            (Reload::Command(_), _) => Some(ReloadSign::Command),
            (Reload::Signal(_), Ready::Notify) => Some(ReloadSign::Announcement),
            (Reload::Signal(_), Ready::Probe { .. }) => Some(ReloadSign::Answer),
            (Reload::Signal(_), _) => None,
        };
        self.begin_reload(sign.unwrap_or(ReloadSign::Ready));
        match how {
            Reload::Signal(signal) => self.act(Action::SignalMain(*signal)),
            Reload::Command(_) => {
                self.member.run.reload = true;
                self.act(Action::RunReload);
            }
        }
        match sign {
            // It gives no sign of having taken them up: being told is all there is.
            None => self.reloaded(),
            // Only what is asked from now on can be about the new files.
            Some(ReloadSign::Answer) => {
                self.forget_question();
                self.member.run.health.readiness = Some(self.now());
            }
            Some(_) => {}
        }
        true
    }

    fn begin_reload(&mut self, sign: ReloadSign) {
        let now = self.now();
        self.enter(State::Reloading { sign, since: now, until: now.after(RELOAD_WITHIN) }, Cause::Reloads);
    }

    pub(super) fn said_reloading(&mut self) {
        if self.unit.ready != Ready::Notify {
            return;
        }
        match &mut self.member.state {
            State::Reloading { sign: sign @ ReloadSign::Announcement, .. } => *sign = ReloadSign::Ready,
            State::Ready | State::Degraded(_) => self.begin_reload(ReloadSign::Ready),
            _ => {}
        }
    }

    pub(super) fn said_ready(&mut self) {
        if self.unit.ready != Ready::Notify {
            return;
        }
        match self.member.state {
            State::Starting(_) => self.become_ready(),
            State::Reloading { sign: ReloadSign::Ready, .. } => self.reloaded(),
            State::Degraded(Degradation::Reload) => self.enter(State::Ready, Cause::ProbesGood),
            _ => {}
        }
    }

    pub(super) fn reload_ended(&mut self, how: &Ending) {
        self.member.run.reload = false;
        match self.member.state {
            State::Reloading { sign: ReloadSign::Command, .. } if *how == Ending::Status(0) => {
                self.reloaded()
            }
            State::Reloading { sign: ReloadSign::Command, .. } => self.reload_failed(how.words()),
            _ => self.less_of_it(),
        }
    }

    fn reloaded(&mut self) {
        let State::Reloading { since, .. } = self.member.state else { return };
        let after = self.since(since);
        self.enter(State::Ready, Cause::Reloaded(after));
        if std::mem::take(&mut self.member.run.reload_again) {
            self.reload();
        }
    }

    pub(super) fn reload_failed(&mut self, why: String) {
        if self.member.run.reload {
            self.act(Action::KillReload);
        }
        let cause = Cause::ReloadFailed(bounded(&why));
        self.member.run.reload_again = false;
        self.member.run.health.doubt();
        self.enter(State::Degraded(Degradation::Reload), cause.clone());
        self.alarm(cause);
    }

    pub(super) fn out_of_memory(&mut self) {
        self.note(Cause::OutOfMemory);
        if !self.member.state.runs() {
            return;
        }
        match self.unit.oom_policy {
            OomPolicy::Kill => self.kill(Reason::OutOfMemory, Cause::OutOfMemory),
            OomPolicy::Stop => self.leave(Reason::OutOfMemory),
            OomPolicy::Continue => {}
        }
    }

    /// Nobody asks it anything any more.
    pub(super) fn quiet(&mut self) {
        self.forget_question();
        let health = &mut self.member.run.health;
        (health.readiness, health.liveness, health.watchdog) = (None, None, None);
        if self.member.run.reload {
            self.act(Action::KillReload);
        }
    }

    fn forget_question(&mut self) {
        if let Some(asked) = self.member.run.health.asked.take() {
            self.act(Action::Forget(asked.question));
        }
    }
}
