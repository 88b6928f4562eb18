//! From asked or dead to nothing left: the signal, the kill, the steps after, the group.
//!
//! "Stopped" means that the main process is reaped and the group is empty. Who is asked to end is asked as a whole:
//! first the main process, which may have others to end in its own order; when that is gone, whoever it left, for the
//! rest of the time. Who ends by itself takes the others with it at once. Every wait has a deadline and every deadline
//! another verdict; the last of them is Stuck. Which end counts as a failure, and what follows from it, is decided
//! here; when to ask is `settle`'s.

use machine_config::service::{Class, ExitRule, KillScope, Ready};

use super::action::{Action, Demand, Slot, Step};
use super::cause::{Cause, Failure, Reason};
use super::escalation::Judgement;
use super::event::{Deed, Ending, StepKind};
use super::seat::Seat;
use super::state::{AFTER_WITHIN, Cleanup, Doom, KILL_AGAIN, REMOVE_AGAIN, SWEEP_WITHIN, State, Then};
use crate::monotonic::Monotonic;

/// Who may still be there when a cleanup begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Left {
    /// Anybody.
    Perhaps,
    /// Who was killed before, and keeps its deadline.
    Dying(Doom),
    /// Nobody: its group is empty.
    Nobody,
}

impl Seat<'_> {
    /// Asks it to end.
    pub fn stop(&mut self, why: Reason) {
        self.member.leave = None;
        self.quiet();
        if let State::Preparing { .. } = self.member.state {
            return self.clean(Then::Rest, Cause::Stopped(why), Left::Perhaps);
        }
        let until = self.now().after(self.unit.stop_timeout.duration());
        self.enter(State::Stopping { why, until }, Cause::Stopped(why));
        if self.member.run.main {
            self.act(Action::SignalMain(self.unit.stop_signal));
        } else {
            self.stop_rest(why);
        }
    }

    /// Asks those to end whom its main process left behind. Mostly that is nobody, and this is the one look.
    fn stop_rest(&mut self, why: Reason) {
        match self.unit.kill {
            KillScope::Cgroup => self.act(Action::SignalGroup(self.unit.stop_signal)),
            // They are no part of it.
            KillScope::Process => self.ended_as_asked(why, Left::Perhaps),
        }
    }

    /// Kills it.
    pub(super) fn kill(&mut self, why: Reason, cause: Cause) {
        self.member.leave = None;
        self.quiet();
        self.enter(State::Killing { why, doom: Doom::from(self.now()) }, cause);
        self.send_kill();
        if self.unit.kill == KillScope::Process && !self.member.run.main {
            self.ended_as_asked(why, Left::Perhaps);
        }
    }

    fn send_kill(&mut self) {
        match self.unit.kill {
            KillScope::Cgroup => self.act(Action::KillGroup),
            KillScope::Process => {
                if self.member.run.main {
                    self.act(Action::KillMain);
                }
                if self.member.run.step {
                    self.act(Action::KillStep);
                }
                if self.member.run.reload {
                    self.act(Action::KillReload);
                }
            }
        }
    }

    pub(super) fn lingers(&mut self, why: Reason, doom: Doom) {
        match self.kill_again(doom) {
            Some(doom) => self.member.state = State::Killing { why, doom },
            None => self.stuck(Then::Rest),
        }
    }

    /// Repeats the kill, if it is not given up.
    fn kill_again(&mut self, doom: Doom) -> Option<Doom> {
        if doom.give_up <= self.now() {
            return None;
        }
        self.alarm(Cause::Lingering);
        self.send_kill();
        Some(Doom { again: self.now().after(KILL_AGAIN), ..doom })
    }

    /// Its main process is reaped.
    pub(super) fn ended(&mut self, how: Ending) {
        self.member.run.main = false;
        match self.member.state.clone() {
            State::Starting(_) | State::Ready | State::Degraded(_) | State::Reloading { .. } => {
                let never_ran = matches!(how, Ending::NotStarted(_));
                if self.unit.exit == ExitRule::Last && !never_ran {
                    self.member.run.ended = Some(how);
                    return self.act(Action::WatchGroup);
                }
                self.ended_by_itself(how);
            }
            State::Stopping { why, .. } => self.stop_rest(why),
            State::Killing { why, doom } => self.ended_as_asked(why, Left::Dying(doom)),
            _ => self.less_of_it(),
        }
    }

    /// One of its processes is gone: perhaps it was the last.
    pub(super) fn less_of_it(&mut self) {
        match self.member.state {
            State::Stuck { then } => self.clean(then, Cause::Gone, Left::Perhaps),
            _ => self.emptied(),
        }
    }

    fn ended_by_itself(&mut self, how: Ending) {
        let deliberate = self.member.leave.is_some_and(|why| !why.is_failure());
        let starting = matches!(self.member.state, State::Starting(_));
        if starting && self.unit.ready == Ready::Exit && how == Ending::Status(0) {
            let after = self.member.ran_for(self.now());
            self.clean(Then::Done, Cause::TaskEnded(after), Left::Perhaps);
        } else if deliberate || !self.member.desired {
            self.clean(Then::Rest, Cause::Ended, Left::Perhaps);
        } else {
            self.fail(Failure::Main(how), Left::Perhaps);
        }
    }

    fn ended_as_asked(&mut self, why: Reason, left: Left) {
        if why.is_failure() {
            self.fail(Failure::Stopped(why), left);
        } else {
            self.clean(Then::Rest, Cause::Ended, left);
        }
    }

    /// Counts a failure and says what follows.
    pub(super) fn fail(&mut self, failure: Failure, left: Left) {
        let now = self.now();
        let after = self.member.ran_for(now);
        let ready_for = self.member.ready_for(now);
        let (first, cap) = (self.unit.pause.duration(), self.unit.longest_pause.duration());
        self.member.attempts = self.member.attempts.saturating_add(1);
        let hopeless = self.is_hopeless(&failure);
        let again = match (hopeless, self.unit.class) {
            (false, _) => Some(self.member.backoff.next(first, cap, ready_for, &mut self.machine.jitter)),
            (true, Class::Ordinary) => None,
            // The machine works through it: trying seldom is better than not trying.
            (true, Class::Critical | Class::Node) => Some(self.member.backoff.longest(cap)),
        };
        let then = again.map_or(Then::Fail, |pause| Then::Pause(now.after(pause)));
        let cause = Cause::Failed { failure: failure.clone(), after, again };
        self.act(Action::FreezeLog);
        self.member.last_end = Some((failure, after));
        self.clean(then, cause.clone(), left);
        if hopeless {
            self.alarm(cause);
        }
        let (level, times) = self.member.failures.count(now);
        if let Some(often) = Cause::often(level, times) {
            // What it means lasts without being kept: see `Member::concern`.
            self.tell(often);
        }
    }

    fn is_hopeless(&self, failure: &Failure) -> bool {
        let said_so = match failure {
            Failure::Main(Ending::Status(status)) => {
                u8::try_from(*status).is_ok_and(|status| self.unit.permanent_exits.contains(&status))
            }
            _ => false,
        };
        said_so || self.unit.attempts.is_some_and(|attempts| self.member.attempts >= attempts)
    }

    /// Begins the cleanup.
    pub(super) fn clean(&mut self, then: Then, cause: Cause, left: Left) {
        self.member.leave = None;
        self.member.run.ended = None;
        self.quiet();
        let (doom, empty) = match left {
            Left::Perhaps => (Doom::from(self.now()), false),
            Left::Dying(doom) => (doom, false),
            Left::Nobody => (Doom::from(self.now()), true),
        };
        self.enter(State::Cleaning { stage: Cleanup::Emptying { doom, empty }, then }, cause);
        if !empty {
            self.send_kill();
        }
        self.emptied();
    }

    pub(super) fn group_empty(&mut self) {
        match &mut self.member.state {
            State::Cleaning { stage: Cleanup::Emptying { empty, .. }, .. } => {
                *empty = true;
                self.emptied();
            }
            State::Cleaning { stage: Cleanup::Sweeping { until }, then } if !self.member.run.step => {
                let (until, then) = (*until, *then);
                self.remove_group(until, then);
            }
            State::Stopping { why, .. } | State::Killing { why, .. } if !self.member.run.main => {
                let why = *why;
                self.ended_as_asked(why, Left::Nobody);
            }
            State::Stuck { .. } => self.less_of_it(),
            _ => {
                if let Some(how) = self.member.run.ended.take() {
                    self.ended_by_itself(how);
                }
            }
        }
    }

    /// Goes on once nothing of it lives any more.
    pub(super) fn emptied(&mut self) {
        let State::Cleaning { stage: Cleanup::Emptying { empty, .. }, then } = self.member.state else {
            return;
        };
        let run = &self.member.run;
        let alone = empty || self.unit.kill == KillScope::Process;
        if !alone || run.main || run.step || run.reload {
            return;
        }
        let (now, prepared) = (self.now(), run.prepared);
        if prepared && !self.unit.after_stop.is_empty() {
            self.run_after(0, now.after(AFTER_WITHIN), then);
        } else {
            self.remove_group(now.after(SWEEP_WITHIN), then);
        }
    }

    fn run_after(&mut self, index: u16, until: Monotonic, then: Then) {
        self.member.run.step = true;
        self.member.state = State::Cleaning { stage: Cleanup::Step { index, until }, then };
        self.act(Action::RunStep { kind: StepKind::After, index });
    }

    pub(super) fn cleanup_step_ended(&mut self, kind: StepKind, index: u16, how: Ending) {
        let State::Cleaning { stage, then } = self.member.state else { return self.less_of_it() };
        match stage {
            Cleanup::Step { index: at, until } if kind == StepKind::After && at == index => {
                if how != Ending::Status(0) {
                    self.note(Cause::StepFailed(index, how));
                }
                let next = index.saturating_add(1);
                if usize::from(next) < self.unit.after_stop.len() {
                    self.run_after(next, until, then);
                } else {
                    self.sweep(then);
                }
            }
            Cleanup::Sweeping { until } if self.unit.kill == KillScope::Process => {
                self.remove_group(until, then)
            }
            // Once more, now that the step no longer counts: the answer to the first may have come too early.
            Cleanup::Sweeping { .. } => self.act(Action::WatchGroup),
            _ => self.emptied(),
        }
    }

    /// Kills what the steps after its end left behind.
    fn sweep(&mut self, then: Then) {
        let until = self.now().after(SWEEP_WITHIN);
        if self.unit.kill == KillScope::Process && !self.member.run.step {
            return self.remove_group(until, then);
        }
        self.member.state = State::Cleaning { stage: Cleanup::Sweeping { until }, then };
        self.send_kill();
    }

    fn remove_group(&mut self, until: Monotonic, then: Then) {
        if self.unit.kill == KillScope::Process {
            // Its children live on in there.
            return self.finish(then);
        }
        let again = self.now().after(REMOVE_AGAIN);
        self.member.state = State::Cleaning { stage: Cleanup::Removing { again, until }, then };
        // Another instance follows soon: making a group costs as much as all the rest of a start.
        let is_wanted_again = matches!(then, Then::Pause(_));
        self.act(if is_wanted_again { Action::SpareGroup } else { Action::RemoveGroup });
    }

    /// It rests although a pause was to end in another start: the group that was spared for that goes.
    pub(super) fn rest_instead(&mut self, cause: Cause) {
        if self.unit.kill == KillScope::Cgroup {
            self.act(Action::RemoveGroup);
        }
        self.enter(State::Off, cause);
    }

    pub(super) fn group_removed(&mut self) {
        if let State::Cleaning { stage: Cleanup::Removing { .. }, then } = self.member.state {
            self.finish(then);
        }
    }

    pub(super) fn cleans_slowly(&mut self, stage: Cleanup, then: Then) {
        match stage {
            Cleanup::Emptying { doom, empty } => match self.kill_again(doom) {
                Some(doom) => {
                    self.member.state = State::Cleaning { stage: Cleanup::Emptying { doom, empty }, then };
                }
                None => self.stuck(then),
            },
            Cleanup::Step { index, .. } => {
                self.act(Action::KillStep);
                self.note(Cause::StepFailed(index, Ending::NotStarted("its time is over".to_owned())));
                self.sweep(then);
            }
            Cleanup::Sweeping { .. } => self.stuck(then),
            Cleanup::Removing { until, .. } if until <= self.now() => {
                self.alarm(Cause::CouldNot(Deed::Remove, "still busy, left behind".to_owned()));
                self.finish(then);
            }
            Cleanup::Removing { until, .. } => self.remove_group(until, then),
        }
    }

    fn stuck(&mut self, then: Then) {
        self.enter(State::Stuck { then }, Cause::Unkillable);
        self.alarm(Cause::Unkillable);
    }

    /// Nothing of it is left.
    fn finish(&mut self, then: Then) {
        let after = self.member.ran_for(self.now());
        match then {
            Then::Done => {
                self.is_good();
                self.enter(State::Done, Cause::TaskEnded(after));
            }
            Then::Pause(_) if !self.member.desired => self.rest_instead(Cause::Ended),
            _ if !self.member.desired => self.enter(State::Off, Cause::Ended),
            Then::Rest => self.enter(State::Waiting, Cause::Ended),
            Then::Fail => self.enter(State::Failed, Cause::Ended),
            Then::Pause(until) => {
                self.enter(State::Backoff { until }, Cause::Ended);
                if until <= self.now() {
                    self.enter(State::Waiting, Cause::PauseOver);
                }
            }
        }
    }

    /// Whether it has failed for so long that the machine should do something about it.
    pub(super) fn judge(&mut self) {
        if !self.member.desired || self.member.hold.is_some() || self.machine.ending.is_some() {
            return;
        }
        let (now, history) = (self.now(), self.machine.history);
        match self.member.failures.judge(self.unit.class, history, now) {
            None => {}
            Some(Judgement::StayUp) => self.alarm(Cause::StaysDown),
            Some(Judgement::Reboot(into)) => {
                let slot = match into {
                    Slot::Previous => "into the image before, since this one was never confirmed",
                    Slot::Same => "once, in the hope that it helps",
                };
                let reason = format!("{} fails for too long: {slot}", self.unit.name.as_str());
                self.machine.history.reboots = history.reboots.saturating_add(1);
                self.alarm(Cause::RebootsFor(reason.clone()));
                let demand = Demand::Reboot { into, service: self.place, reason };
                self.machine.steps.push(Step::Machine(demand));
            }
        }
    }
}
