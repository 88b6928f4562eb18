//! What follows for all from what happened to one: who may start, who has to go, in which order.
//!
//! A start waits for its needs and its turn; a stop waits for everybody who needs the service,
//! near or far, and is on the way out, so that stopping is starting backwards. Repeated until
//! nothing changes any more; every round moves somebody forward, and rounds are bounded.

use machine_config::service::{Edge, EdgeKind, OnLoss, Place, Unit};

use super::action::{Demand, Step};
use super::cause::{Cause, Reason};
use super::graph::pulls;
use super::health::ASKED_MAX;
use super::machine::Turn;
use super::member::{Goal, Hold, Member};
use super::seat::Seat;
use super::services::Services;
use super::state::State;
use crate::monotonic::Monotonic;

/// Rounds per service before the rest is left to the next event: far more than any chain takes.
const ROUNDS: usize = 16;

impl Services {
    pub(super) fn settle(&mut self) {
        self.pass_on_turns();
        for _ in 0..self.units.len().saturating_add(1).saturating_mul(ROUNDS) {
            if !std::mem::take(&mut self.machine.unsettled) {
                break;
            }
            self.weigh();
            for place in self.places() {
                self.nudge(place);
            }
            self.admit();
            self.come_up();
            self.pass_on_turns();
        }
        self.ask_due();
    }

    /// Tells those who need a service that it was lost, or is back.
    fn pass_on_turns(&mut self) {
        for turn in std::mem::take(&mut self.machine.turns) {
            let (Turn::Lost(need) | Turn::Back(need)) = turn;
            for dependent in self.graph.dependents(need).to_vec() {
                let Some(mut seat) = self.seat(dependent.place) else { continue };
                let Some(lost) = seat.member.lost.get_mut(dependent.edge) else { continue };
                match (turn, dependent.on_loss) {
                    (Turn::Lost(_), OnLoss::Stop) => seat.leave(Reason::NeedLost(need)),
                    (Turn::Lost(_), OnLoss::Restart) => *lost = seat.member.state.runs(),
                    (Turn::Back(_), OnLoss::Restart) if std::mem::take(lost) => {
                        seat.leave(Reason::NeedBack(need));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Finds out who is wanted, dependents first, and who has to go, needs first.
    fn weigh(&mut self) {
        let ending = self.machine.ending.is_some();
        for place in self.places().rev() {
            let Some(member) = self.member(place) else { continue };
            let wanted = match member.goal {
                _ if member.hold.is_some() => member.desired,
                Goal::Up => true,
                Goal::OnDemand => self.is_pulled(place),
                Goal::WhenUp | Goal::Down => false,
            };
            let desired = wanted && !ending;
            if desired != member.desired
                && let Some(member) = self.members.get_mut(place.index())
            {
                member.desired = desired;
            }
        }
        self.leaving.clear();
        for place in self.places() {
            let reason = self.reason_to_go(place);
            self.leaving.push(reason);
        }
    }

    /// Whether somebody who is wanted wants it.
    fn is_pulled(&self, place: Place) -> bool {
        let mut dependents =
            self.graph.dependents(place).iter().filter(|dependent| dependent.kind != EdgeKind::After);
        dependents.any(|dependent| self.member(dependent.place).is_some_and(|member| member.desired))
    }

    fn reason_to_go(&self, place: Place) -> Option<Reason> {
        let member = self.member(place).filter(|member| member.state.runs())?;
        let goes_before = |edge: &&Edge| edge.on_loss != OnLoss::Keep && self.is_leaving(edge.to);
        let ending = self.machine.ending.is_some();
        if ending && self.ends_with_machine(place) {
            Some(Reason::Shutdown)
        } else if !ending && !member.desired {
            Some(Reason::Unwanted)
        } else if member.hold.is_some() {
            member.leave.filter(|why| why.is_failure())
        } else {
            let need = self.edges(place).iter().find(goes_before);
            member.leave.or_else(|| need.map(|edge| Reason::NeedStops(edge.to)))
        }
    }

    /// Whether it runs and is to end.
    pub(super) fn is_leaving(&self, place: Place) -> bool {
        self.leaving.get(place.index()).is_some_and(Option::is_some)
    }

    /// Who still has to go before it, however many tasks that are done lie between the two.
    pub(super) fn who_goes_first(&self, place: Place) -> Option<Place> {
        let on_the_way = |place: &Place| {
            self.is_leaving(*place) || self.member(*place).is_some_and(|member| member.state.goes())
        };
        self.graph.above(place).iter().copied().find(on_the_way)
    }

    /// One step for one service.
    fn nudge(&mut self, place: Place) {
        let Some(member) = self.member(place) else { return };
        let (state, cause) = match &member.state {
            State::Off if member.desired => (State::Waiting, Cause::Wanted),
            State::Failed | State::Done if !member.desired => (State::Off, Cause::Unwanted),
            State::Waiting | State::Blocked { .. } | State::Backoff { .. } if !member.desired => {
                if let Some(mut seat) = self.seat(place) {
                    seat.rest_instead(Cause::Unwanted);
                }
                return;
            }
            State::Waiting => match self.blocking(place) {
                Some(on) => (State::Blocked { on }, Cause::NeedFailed(on)),
                None => return,
            },
            State::Blocked { on: before } => match self.blocking(place) {
                Some(on) if on == *before => return,
                Some(on) => (State::Blocked { on }, Cause::NeedFailed(on)),
                None => (State::Waiting, Cause::NeedRetried),
            },
            _ => {
                let leaves = self.leaving.get(place.index()).copied().flatten();
                if let Some(why) = leaves.filter(|_| self.who_goes_first(place).is_none())
                    && let Some(mut seat) = self.seat(place)
                {
                    seat.stop(why);
                }
                return;
            }
        };
        if let Some(mut seat) = self.seat(place) {
            seat.enter(state, cause);
        }
    }

    /// Starts those whose needs are met, whoever was not served for longest first.
    fn admit(&mut self) {
        self.starved = None;
        let mut ready: Vec<(u64, Place)> = self
            .places()
            .filter(|place| self.unmet(*place).is_none())
            .filter_map(|place| Some((self.member(place)?.served, place)))
            .collect();
        ready.sort_unstable();
        for (_, place) in ready {
            let cost = self.cost(place);
            if !self.machine.limiter.take(cost, self.machine.now) {
                self.starved = Some(cost);
                return;
            }
            if let Some(mut seat) = self.seat(place) {
                seat.prepare();
            }
        }
    }

    /// How many processes a start of it makes, sooner or later: those after its end are paid for here, since they wait
    /// for nobody then.
    fn cost(&self, place: Place) -> u64 {
        let steps = |unit: &Unit| unit.before_start.len().saturating_add(unit.after_stop.len());
        let steps = self.unit(place).map_or(0, steps);
        u64::try_from(steps).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Why a service that waits may not start yet: none if only its turn is missing.
    pub(super) fn unmet(&self, place: Place) -> Option<Unmet> {
        let Some(member) = self.member(place) else { return Some(Unmet::NotWaiting) };
        if member.state != State::Waiting || !member.desired || self.machine.ending.is_some() {
            return Some(Unmet::NotWaiting);
        }
        if member.hold == Some(Hold::Down) {
            return Some(Unmet::Held);
        }
        self.edges(place).iter().find(|edge| !self.is_met(member, edge)).map(|edge| Unmet::Need(edge.clone()))
    }

    fn is_met(&self, member: &Member, edge: &Edge) -> bool {
        let Some(need) = self.member(edge.to) else { return true };
        if self.is_leaving(edge.to) {
            return false;
        }
        match edge.kind {
            EdgeKind::Requires | EdgeKind::Milestone => self.is_hard_met(edge),
            EdgeKind::Wants { within } => {
                is_settled(need) || self.machine.now >= member.since.after(within.duration())
            }
            EdgeKind::After => is_settled(need),
        }
    }

    /// Whether an edge without which nothing goes is met; others always are.
    fn is_hard_met(&self, edge: &Edge) -> bool {
        let Some(need) = self.member(edge.to) else { return true };
        match edge.kind {
            EdgeKind::Requires => need.state.is_ready(),
            // Who goes down with its need also waits until it is back.
            EdgeKind::Milestone => need.was_ready && (edge.on_loss == OnLoss::Keep || need.state.is_ready()),
            EdgeKind::Wants { .. } | EdgeKind::After => true,
        }
    }

    /// Whether a process of it may be made now, as far as its needs are concerned.
    pub(super) fn hard_needs_met(&self, place: Place) -> bool {
        self.edges(place).iter().all(|edge| self.is_hard_met(edge))
    }

    /// The need because of which waiting is of no use.
    fn blocking(&self, place: Place) -> Option<Place> {
        let hopeless = |edge: &&Edge| {
            !self.is_hard_met(edge) && self.member(edge.to).is_some_and(|need| need.state.has_failed())
        };
        self.edges(place).iter().find(hopeless).map(|edge| edge.to)
    }

    /// Sees whether everything that counts is ready, the first time.
    fn come_up(&mut self) {
        let is_up = self
            .units
            .iter()
            .zip(self.members.iter())
            .all(|(unit, member)| !unit.milestone || member.state.is_up());
        if self.machine.up_since.is_some() || self.machine.ending.is_some() || !is_up {
            return;
        }
        self.machine.up_since = Some(self.machine.now);
        self.machine.record(None, None, Cause::Up);
        self.machine.steps.push(Step::Machine(Demand::Up));
        for member in self.members.iter_mut(|member| member.goal == Goal::WhenUp) {
            member.goal = Goal::Up;
        }
        self.machine.unsettled = true;
    }

    /// Asks what is due, whatever was due first, as many at once as may be.
    fn ask_due(&mut self) {
        let mut due: Vec<(Monotonic, Place)> = self
            .places()
            .filter_map(|place| Some((self.member(place)?.run.health.due()?.0, place)))
            .filter(|(at, _)| *at <= self.machine.now)
            .collect();
        if due.is_empty() {
            return;
        }
        due.sort_unstable();
        let free = ASKED_MAX.saturating_sub(self.questions());
        for (_, place) in due.into_iter().take(free) {
            if let Some(mut seat) = self.seat(place)
                && let Some((_, about)) = seat.member.run.health.due()
            {
                seat.ask(about);
            }
        }
    }

    /// How many questions are on their way.
    pub(super) fn questions(&self) -> usize {
        self.members.iter().filter(|member| member.run.health.asked.is_some()).count()
    }

    /// When something is due, and no earlier than now.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        let now = self.machine.now;
        if self.machine.unsettled {
            return Some(now);
        }
        let states = self
            .units
            .iter()
            .zip(self.members.iter())
            .filter_map(|(unit, member)| Seat::deadline(unit, member, &self.machine));
        let may_ask = self.questions() < ASKED_MAX;
        let probes =
            self.members.iter().filter(|_| may_ask).filter_map(|member| Some(member.run.health.due()?.0));
        let turn = self.starved.map(|cost| self.machine.limiter.available_at(cost));
        states.chain(probes).chain(turn).chain(self.wants_over()).min()
    }

    /// The moments at which a wanted service is no longer waited for.
    fn wants_over(&self) -> impl Iterator<Item = Monotonic> {
        let waiting = self.places().filter_map(|place| Some((place, self.member(place)?)));
        waiting.filter(|(_, member)| member.state == State::Waiting).flat_map(|(place, member)| {
            self.edges(place).iter().filter_map(|edge| match edge.kind {
                EdgeKind::Wants { within } => {
                    Some(member.since.after(within.duration())).filter(|over| *over > self.machine.now)
                }
                _ => None,
            })
        })
    }

    /// The services that are wanted with it, near and far, as far as they are still to come.
    pub(super) fn pulled_in(&self, place: Place) -> Vec<Place> {
        let mut found: Vec<Place> = Vec::new();
        let mut look: Vec<Place> = vec![place];
        while let Some(at) = look.pop() {
            let pulled = self.edges(at).iter().filter(|edge| pulls(edge)).map(|edge| edge.to);
            for need in pulled {
                let passed = self.member(need).is_some_and(|member| member.state.is_up());
                if !passed && !found.contains(&need) {
                    found.push(need);
                    look.push(need);
                }
            }
        }
        found
    }
}

/// Why a service does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unmet {
    /// It does not wait for a start.
    NotWaiting,
    /// It is held.
    Held,
    /// This edge is not met.
    Need(Edge),
}

/// Whether waiting for it is over, well or badly.
fn is_settled(need: &Member) -> bool {
    !need.desired
        || need.hold == Some(Hold::Down)
        || need.state.is_up()
        || need.state.has_failed()
        || matches!(need.state, State::Backoff { .. })
}
