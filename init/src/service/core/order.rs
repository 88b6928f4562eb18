//! What operators and agents may ask for, and what comes of it.
//!
//! An order changes what is wanted, hardly ever a state: the states follow as they would have
//! anyway. Every order may be repeated; it says whether it changed anything. Orders about the
//! machine (shutdown, re-exec) are the shell's.

use machine_config::service::{OnLoss, Place, StopSignal};

use super::action::{Action, Step};
use super::cause::{self, Cause, Reason};
use super::event::Digest;
use super::member::{Goal, Hold};
use super::seat::works;
use super::services::Services;
use super::state::State;
use crate::control::message::Order;
use crate::monotonic::Monotonic;

/// An order that is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Something follows from it.
    Changed,
    /// It was so already.
    Unchanged,
}

/// An order that is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody is called that.
    #[error("there is no service {0}")]
    Unknown(String),
    /// It is not for the services.
    #[error("this is not about a service")]
    NotAboutServices,
    /// The machine ends.
    #[error("the machine is on its way down")]
    Ending,
    /// A second copy is never started.
    #[error("{0} could not be killed and is still there; a second copy is not started beside it")]
    Stuck(String),
    /// Others would lose it.
    #[error("{} would lose it; cascade stops them first", .0.join(", "))]
    Needed(Vec<String>),
    /// Nobody could start it again, or see what happens meanwhile.
    #[error("{0} works until the machine ends and is not kept down; restart it instead")]
    UntilEnd(String),
    /// One who would lose it is held.
    #[error("{0} would lose it and is held; release it first")]
    DependentHeld(String),
    /// Its spec does not say how.
    #[error("{0} has no way to reload")]
    NoReload(String),
    /// It is not in a state for that.
    #[error("{0} does not run")]
    NotRunning(String),
    /// Its spec does not allow it.
    #[error("{0} may not be sent this signal")]
    Signal(String),
    /// Too many at once.
    #[error("too many starts and reloads at the moment; try again in a second")]
    TooMany,
}

type Outcome = Result<Accepted, Refusal>;

fn changed(changed: bool) -> Accepted {
    if changed { Accepted::Changed } else { Accepted::Unchanged }
}

impl Services {
    /// Takes an order about a service; `overlay` is what an [`Order::Apply`] found in its file.
    pub fn order(&mut self, order: &Order, overlay: Option<Digest>, now: Monotonic) -> (Outcome, Vec<Step>) {
        self.machine.now = self.machine.now.max(now);
        let outcome = self.carry_out(order, overlay);
        (outcome, self.settled())
    }

    fn carry_out(&mut self, order: &Order, overlay: Option<Digest>) -> Outcome {
        let (name, what) = match order {
            Order::Start(name) => (name, cause::Order::Start),
            Order::Stop { service, .. } => (service, cause::Order::Stop),
            Order::Restart { service, .. } => (service, cause::Order::Restart),
            Order::Reload(name) => (name, cause::Order::Reload),
            Order::Apply(name) => (name, cause::Order::Apply),
            Order::Reset(name) => (name, cause::Order::Reset),
            Order::Hold(name) => (name, cause::Order::Hold),
            Order::Release(name) => (name, cause::Order::Release),
            Order::Signal { service, signal } => (service, cause::Order::Signal(*signal)),
            Order::Shutdown { .. } | Order::Reexec => return Err(Refusal::NotAboutServices),
        };
        let place = self.place(name).ok_or_else(|| Refusal::Unknown(name.clone()))?;
        if self.machine.ending.is_some() {
            return Err(Refusal::Ending);
        }
        let outcome = match order {
            Order::Start(_) => self.start(place),
            Order::Stop { cascade, .. } => self.stop(place, *cascade),
            Order::Restart { cascade, .. } => self.restart(place, *cascade),
            Order::Reload(_) => self.reload(place),
            Order::Apply(_) => Ok(self.apply(place, overlay)),
            Order::Reset(_) => Ok(self.reset(place)),
            Order::Hold(_) => self.hold(place),
            Order::Release(_) => Ok(self.release(place)),
            Order::Signal { signal, .. } => self.signal(place, *signal),
            Order::Shutdown { .. } | Order::Reexec => Err(Refusal::NotAboutServices),
        };
        if outcome == Ok(Accepted::Changed) {
            self.machine.record(Some(place), None, Cause::Ordered(what));
            self.machine.unsettled = true;
        }
        outcome
    }

    fn own_name(&self, place: Place) -> String {
        self.name(place).to_owned()
    }

    fn is_not_stuck(&self, place: Place) -> Result<(), Refusal> {
        match self.member(place).map(|member| &member.state) {
            Some(State::Stuck { .. }) => Err(Refusal::Stuck(self.own_name(place))),
            _ => Ok(()),
        }
    }

    fn start(&mut self, place: Place) -> Outcome {
        self.is_not_stuck(place)?;
        let mut retried = false;
        for need in self.pulled_in(place) {
            // An operator who wants this one wants what it cannot be without.
            if self.member(need).is_some_and(|need| need.state == State::Failed) {
                retried |= self.retry(need, cause::Order::Start);
            }
            if let Some(member) = self.members.get_mut(need.index())
                && member.goal == Goal::Down
            {
                member.goal = Goal::OnDemand;
            }
        }
        let Some(member) = self.members.get_mut(place.index()) else { return Ok(Accepted::Unchanged) };
        let wanted = std::mem::replace(&mut member.goal, Goal::Up) != Goal::Up;
        retried |= self.retry(place, cause::Order::Start);
        Ok(changed(wanted || retried))
    }

    /// Ends a pause, or a verdict, with a fresh budget; whether there was one.
    fn retry(&mut self, place: Place, order: cause::Order) -> bool {
        let Some(mut seat) = self.seat(place).filter(|seat| seat.member.hold.is_none()) else { return false };
        if !matches!(seat.member.state, State::Backoff { .. } | State::Failed) {
            return false;
        }
        seat.member.forgive();
        seat.enter(State::Waiting, Cause::Ordered(order));
        true
    }

    /// Who would lose it, near and far: `requires` also counts those that would only have to do without.
    fn losers(&self, place: Place, requires: bool) -> Vec<Place> {
        let mut found: Vec<Place> = Vec::new();
        let mut look = vec![place];
        while let Some(at) = look.pop() {
            let bound = |dependent: &&super::graph::Dependent| {
                if requires { dependent.is_bound() } else { dependent.on_loss != OnLoss::Keep }
            };
            for dependent in self.graph.dependents(at).iter().filter(bound).map(|dependent| dependent.place) {
                let in_play =
                    self.member(dependent).is_some_and(|member| member.desired || member.state.runs());
                if in_play && !found.contains(&dependent) {
                    found.push(dependent);
                    look.push(dependent);
                }
            }
        }
        found
    }

    fn none_is_held(&self, places: &[Place]) -> Result<(), Refusal> {
        let held = |place: &&Place| self.member(**place).is_some_and(|member| member.hold.is_some());
        match places.iter().find(held) {
            Some(place) => Err(Refusal::DependentHeld(self.own_name(*place))),
            None => Ok(()),
        }
    }

    /// What works until the machine ends is never down on purpose before: orders come through it.
    fn may_be_down(&self, place: Place) -> Result<(), Refusal> {
        match self.unit(place) {
            Some(unit) if unit.until_end => Err(Refusal::UntilEnd(self.own_name(place))),
            _ => Ok(()),
        }
    }

    fn stop(&mut self, place: Place, cascade: bool) -> Outcome {
        self.may_be_down(place)?;
        let losers = self.losers(place, true);
        if !cascade && !losers.is_empty() {
            return Err(Refusal::Needed(losers.into_iter().map(|loser| self.own_name(loser)).collect()));
        }
        losers.iter().try_for_each(|loser| self.may_be_down(*loser))?;
        self.none_is_held(&losers)?;
        let mut any = false;
        for place in losers.into_iter().chain([place]) {
            if let Some(member) = self.members.get_mut(place.index()) {
                any |= std::mem::replace(&mut member.goal, Goal::Down) != Goal::Down;
            }
        }
        Ok(changed(any))
    }

    fn restart(&mut self, place: Place, cascade: bool) -> Outcome {
        self.is_not_stuck(place)?;
        let losers = self.losers(place, cascade);
        self.none_is_held(&losers)?;
        let mut any = self.member(place).is_some_and(|member| member.goal == Goal::Down || !member.desired);
        if any {
            self.start(place)?;
        }
        // Those that only follow the need do so by themselves, when it is about to stop.
        let followers = if cascade { losers } else { Vec::new() };
        for place in followers.into_iter().chain([place]) {
            any |= self.retry(place, cause::Order::Restart);
            let Some(mut seat) = self.seat(place) else { continue };
            if seat.member.state == State::Done && seat.member.hold.is_none() {
                seat.enter(State::Waiting, Cause::Ordered(cause::Order::Restart));
                any = true;
            } else if seat.member.state.runs() && seat.member.leave.is_none() {
                seat.leave(Reason::Restart);
                any = true;
            }
        }
        Ok(changed(any))
    }

    fn reload(&mut self, place: Place) -> Outcome {
        let name = self.own_name(place);
        if self.unit(place).is_none_or(|unit| unit.reload.is_none()) {
            return Err(Refusal::NoReload(name));
        }
        if !self.member(place).is_some_and(|member| works(&member.state)) {
            return Err(Refusal::NotRunning(name));
        }
        if !self.machine.limiter.take(1, self.machine.now) {
            return Err(Refusal::TooMany);
        }
        match self.seat(place).map(|mut seat| seat.reload()) {
            Some(true) => Ok(Accepted::Changed),
            _ => Err(Refusal::NotRunning(name)),
        }
    }

    fn apply(&mut self, place: Place, overlay: Option<Digest>) -> Accepted {
        let Some(mut seat) = self.seat(place) else { return Accepted::Unchanged };
        let differs = seat.member.overlay != overlay;
        match seat.member.state {
            State::Starting(_) if !seat.member.run.executed => {
                // What it reads is known only once it is executed.
                seat.member.run.applied = Some(overlay);
                Accepted::Unchanged
            }
            State::Starting(_) | State::Ready | State::Degraded(_) | State::Reloading { .. } => {
                let leaves = seat.member.leave == Some(Reason::Applied);
                if differs && !leaves {
                    seat.leave(Reason::Applied);
                } else if !differs && leaves {
                    seat.member.leave = None;
                }
                changed(differs != leaves)
            }
            State::Backoff { .. } | State::Failed if differs => {
                changed(self.retry(place, cause::Order::Apply))
            }
            State::Done if differs && seat.member.hold.is_none() => {
                seat.enter(State::Waiting, Cause::Ordered(cause::Order::Apply));
                Accepted::Changed
            }
            _ => Accepted::Unchanged,
        }
    }

    fn reset(&mut self, place: Place) -> Accepted {
        let retried = self.retry(place, cause::Order::Reset);
        let now = self.machine.now;
        let Some(member) = self.members.get_mut(place.index()) else { return Accepted::Unchanged };
        let failures = member.backoff.failures(member.ready_for(now));
        let remembers = failures > 0 || member.attempts > 0 || member.concern(now).is_some();
        member.forgive();
        changed(retried || remembers)
    }

    fn hold(&mut self, place: Place) -> Outcome {
        let Some(member) = self.member(place).filter(|member| member.hold.is_none()) else {
            return Ok(Accepted::Unchanged);
        };
        let is_down = matches!(
            member.state,
            State::Off | State::Waiting | State::Blocked { .. } | State::Failed | State::Stuck { .. }
        );
        if is_down {
            self.may_be_down(place)?;
        }
        if let Some(member) = self.members.get_mut(place.index()) {
            member.hold = Some(if is_down { Hold::Down } else { Hold::Up });
        }
        Ok(Accepted::Changed)
    }

    fn release(&mut self, place: Place) -> Accepted {
        let held = self.members.get_mut(place.index()).and_then(|member| member.hold.take());
        changed(held.is_some())
    }

    fn signal(&mut self, place: Place, signal: StopSignal) -> Outcome {
        let name = self.own_name(place);
        if !self.unit(place).is_some_and(|unit| unit.signals.contains(&signal)) {
            return Err(Refusal::Signal(name));
        }
        let Some(mut seat) = self.seat(place) else { return Err(Refusal::NotRunning(name)) };
        let listens = works(&seat.member.state) || matches!(seat.member.state, State::Starting(_));
        if !listens || !seat.member.run.main {
            return Err(Refusal::NotRunning(name));
        }
        seat.act(Action::SignalMain(signal));
        Ok(Accepted::Changed)
    }
}
