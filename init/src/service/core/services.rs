//! All services of a machine, and the core's face to the shell: events, orders, questions.
//!
//! The shell calls [`Services::handle`] with what happened and performs the steps it gets, in
//! order; it calls again with [`Event::Time`] at [`Services::deadline`]. Everything else here
//! only looks. How it is decided is in the other files.

use std::cell::OnceCell;
use std::rc::Rc;

use machine_config::service::{Edge, Place, Table, Unit};

use super::action::Step;
use super::cause::{Cause, Reason};
use super::escalation::History;
use super::event::{Event, Instance};
use super::graph::Graph;
use super::health::SUSPENSION;
use super::journal::{Journal, bounded};
use super::machine::{Leavers, Machine};
use super::member::Member;
use super::saved;
use super::seat::Seat;
use super::state::State;
use crate::control::message::{Ending, EventRecord, StateName};
use crate::monotonic::Monotonic;
use crate::remembered::Remembered;

/// The services of a machine.
#[derive(Debug)]
pub struct Services {
    pub(super) units: Vec<Rc<Unit>>,
    pub(super) graph: Graph,
    pub(super) members: Remembered<Member>,
    pub(super) machine: Machine,
    /// Who runs and is to end, by place, as of the last round.
    pub(super) leaving: Vec<Option<Reason>>,
    /// What the next start costs, if it waits for its turn only.
    pub(super) starved: Option<u64>,
    /// What it was saved for.
    pub(super) shape: u32,
    /// When time itself changes something, once it was asked.
    due: OnceCell<Option<Monotonic>>,
}

impl Services {
    /// The services of a table, none of them started: the first [`Event::Time`] begins. `seed` is for
    /// spreading pauses, `history` is what survived the last reboot.
    #[must_use]
    pub fn new(table: Table, seed: u64, history: History, now: Monotonic) -> Self {
        let members = table.units.iter().map(|unit| Member::new(unit.start, unit.edges.len())).collect();
        let machine = Machine::new(table.units.len(), seed, history, now);
        Self::of(table, members, machine)
    }

    pub(super) fn of(table: Table, members: Vec<Member>, machine: Machine) -> Self {
        let graph = Graph::of(&table.units);
        let shape = saved::shape(&table.units);
        let units = table.units.into_iter().map(Rc::new).collect();
        let members = Remembered::new(members);
        let (leaving, starved, due) = (Vec::new(), None, OnceCell::new());
        let mut services = Self { units, graph, members, machine, leaving, starved, shape, due };
        services.machine.unsettled = true;
        services
    }

    /// Takes an event; what is to be done, in this order.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Monotonic) -> Vec<Step> {
        self.machine.now = self.machine.now.max(now);
        match event {
            Event::Report { service, instance, report } => {
                let met = self.hard_needs_met(service);
                if self.instance(service) == Some(instance)
                    && let Some(mut seat) = self.seat(service)
                {
                    seat.hear(report, met);
                }
            }
            Event::Answered { question, finding } => {
                let is_asked =
                    |member: &Member| member.run.health.asked.is_some_and(|asked| asked.question == question);
                let place = self.places().find(|place| self.member(*place).is_some_and(is_asked));
                if let Some(mut seat) = place.and_then(|place| self.seat(place)) {
                    seat.answered(question, finding);
                }
            }
            Event::ClockJumped => self.machine.suspended = self.machine.now.after(SUSPENSION),
            Event::Pressure { high } => self.machine.pressure = high,
            Event::ImageConfirmed => self.machine.history.confirmed = true,
            Event::Rebooted(times) => self.machine.history.reboots = times,
            Event::Time => self.time(),
        }
        self.settled()
    }

    fn time(&mut self) {
        for place in self.places() {
            if self.is_due(place)
                && let Some(mut seat) = self.seat(place)
            {
                seat.time();
            }
        }
        self.machine.unsettled = true;
    }

    /// Whether time itself changes something for it.
    fn is_due(&self, place: Place) -> bool {
        let (Some(unit), Some(member)) = (self.unit(place), self.member(place)) else { return false };
        Seat::deadline(unit, member, &self.machine).is_some_and(|deadline| deadline <= self.machine.now)
    }

    /// Begins the end: from now on nothing is started. What runs is not stopped yet.
    /// The kind of the first call stays.
    #[must_use]
    pub fn announce_end(&mut self, ending: Ending, reason: &str, now: Monotonic) -> Vec<Step> {
        self.end(Leavers::Nobody, ending, reason, now)
    }

    /// From now on nothing is started, and everything is stopped, dependents first, but for what works until the end.
    #[must_use]
    pub fn shut_down(&mut self, ending: Ending, reason: &str, now: Monotonic) -> Vec<Step> {
        self.end(Leavers::Most, ending, reason, now)
    }

    /// Everybody else has ended: now those are stopped that worked until the end.
    #[must_use]
    pub fn shut_down_rest(&mut self, ending: Ending, now: Monotonic) -> Vec<Step> {
        self.end(Leavers::All, ending, "everybody else has ended", now)
    }

    fn end(&mut self, leavers: Leavers, ending: Ending, reason: &str, now: Monotonic) -> Vec<Step> {
        self.machine.now = self.machine.now.max(now);
        if self.machine.ending.is_none() {
            self.machine.ending = Some(ending);
            self.machine.record(None, None, Cause::Ending(ending, bounded(reason)));
            self.machine.unsettled = true;
        }
        if leavers > self.machine.leavers {
            self.machine.leavers = leavers;
            self.machine.unsettled = true;
        }
        self.settled()
    }

    /// Whether an end of the machine is one of this service by now.
    pub(super) fn ends_with_machine(&self, place: Place) -> bool {
        match self.machine.leavers {
            Leavers::Nobody => false,
            Leavers::Most => self.unit(place).is_none_or(|unit| !unit.until_end),
            Leavers::All => true,
        }
    }

    pub(super) fn settled(&mut self) -> Vec<Step> {
        self.settle();
        self.due.take();
        std::mem::take(&mut self.machine.steps)
    }

    /// When [`Event::Time`] is due; never before the moment last told.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        *self.due.get_or_init(|| self.next_deadline())
    }

    /// How the machine ends, if it does.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.machine.ending
    }

    /// Whether nothing runs any more that could be stopped, but for those whose time has not come.
    #[must_use]
    pub fn all_stopped(&self) -> bool {
        let stopped = |member: &Member| member.state.rests() || matches!(member.state, State::Stuck { .. });
        self.places()
            .filter(|place| self.ends_with_machine(*place))
            .all(|place| self.member(place).is_none_or(stopped))
    }

    /// Those whose time has not come although the machine ends.
    #[must_use]
    pub fn spared(&self) -> Vec<&str> {
        self.places().filter(|place| !self.ends_with_machine(*place)).map(|place| self.name(place)).collect()
    }

    /// When everything that counts was ready.
    #[must_use]
    pub fn up_since(&self) -> Option<Monotonic> {
        self.machine.up_since
    }

    /// What survives reboots, with what was asked for since.
    #[must_use]
    pub fn history(&self) -> History {
        self.machine.history
    }

    /// The record.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.machine.journal
    }

    /// The record in words, from number `since` on, at most so many.
    #[must_use]
    pub fn events(&self, since: u64, most: usize) -> Vec<EventRecord> {
        self.machine.journal.records(since, most, |place| self.name(place))
    }

    /// Adds something of the shell's to the record: a re-exec, a device that came late.
    pub fn note(&mut self, service: Option<Place>, text: &str, now: Monotonic) {
        self.machine.now = self.machine.now.max(now);
        self.machine.record(service, None, Cause::Noted(bounded(text)));
    }

    /// The services' places, needs before dependents.
    pub fn places(&self) -> impl DoubleEndedIterator<Item = Place> + use<> {
        let count = u16::try_from(self.units.len()).unwrap_or(u16::MAX);
        (0..count).map(Place)
    }

    /// Where the service of this name is.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Place> {
        self.places().find(|place| self.name(*place) == name)
    }

    /// What a service is.
    #[must_use]
    pub fn unit(&self, place: Place) -> Option<&Unit> {
        self.units.get(place.index()).map(Rc::as_ref)
    }

    /// What all services are, to be shared with whoever runs them.
    #[must_use]
    pub fn units(&self) -> &[Rc<Unit>] {
        &self.units
    }

    /// A service's name.
    #[must_use]
    pub fn name(&self, place: Place) -> &str {
        self.unit(place).map_or("?", |unit| unit.name.as_str())
    }

    /// A service's state.
    #[must_use]
    pub fn state(&self, place: Place) -> Option<StateName> {
        self.member(place).map(|member| member.state.name())
    }

    /// A service's latest instance: what reports about it carry.
    #[must_use]
    pub fn instance(&self, place: Place) -> Option<Instance> {
        self.member(place).map(|member| member.run.instance)
    }

    /// Who waits for its start.
    pub fn waiting(&self) -> impl Iterator<Item = Place> {
        self.places().filter(|place| self.member(*place).is_some_and(|member| member.state == State::Waiting))
    }

    /// Whether several were told to end and have not ended yet.
    #[must_use]
    pub fn several_stop(&self) -> bool {
        let stopping = |member: &&Member| matches!(member.state, State::Stopping { .. });
        self.members.iter().filter(stopping).nth(1).is_some()
    }

    /// When a service's main process was last started, in milliseconds since boot.
    #[must_use]
    pub fn started(&self, place: Place) -> Option<u64> {
        self.member(place)?.stamps.started
    }

    /// Whether no step and no reload command runs anywhere: only then PID 1 replaces itself.
    #[must_use]
    pub fn is_between_steps(&self) -> bool {
        self.members.iter().all(|member| !member.run.step && !member.run.reload)
    }

    pub(super) fn member(&self, place: Place) -> Option<&Member> {
        self.members.get(place.index())
    }

    pub(super) fn edges(&self, place: Place) -> &[Edge] {
        self.unit(place).map_or(&[], |unit| unit.edges.as_slice())
    }

    pub(super) fn seat(&mut self, place: Place) -> Option<Seat<'_>> {
        let unit = self.units.get(place.index())?;
        let member = self.members.get_mut(place.index())?;
        Some(Seat { place, unit, member, machine: &mut self.machine })
    }
}
