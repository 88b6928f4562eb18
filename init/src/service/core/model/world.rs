//! A shell for the model: performs steps with make-believe processes, and may fail at each.
//!
//! It does what the contract of `action` says and no more. Every step that makes or signals a
//! process is checked on the spot; everything else after each event.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use machine_config::service::{KillScope, Place, Table, Unit};

use super::invariants as must;
use super::tables::Digits;
use crate::control::message::{Finding, StateName};
use crate::monotonic::Monotonic;
use crate::service::core::escalation::History;
use crate::service::core::journal::Record;
use crate::service::core::{
    About, Action, Deed, Demand, Digest, Ending, Event, Instance, Question, Report, Services, Step, StepKind,
};

/// A service's processes.
#[derive(Debug, Default)]
pub struct Actor {
    pub group: bool,
    pub main: Option<Instance>,
    pub step: Option<(Instance, StepKind, u16)>,
    pub reload: Option<Instance>,
    /// Whether others of it are in its group.
    pub children: bool,
    /// Whether they end by being killed only.
    pub deaf: bool,
    /// Whether signals do not reach it.
    pub unkillable: bool,
    /// Who waits for its group to be empty.
    pub watch: Option<Instance>,
    /// Instances that are gone.
    pub earlier: Vec<Instance>,
    /// What its overlay says now.
    pub overlay: Option<Digest>,
    /// When it began to go.
    pub goes_since: Option<u64>,
    /// The last pause, since its record was last clean.
    pub pause: Duration,
    /// It may not be prepared before then.
    pub not_before: Monotonic,
}

impl Actor {
    pub fn is_populated(&self) -> bool {
        self.main.is_some() || self.step.is_some() || self.reload.is_some() || self.children
    }
}

/// The world.
pub struct World {
    pub services: Services,
    pub units: Vec<Unit>,
    pub table: Table,
    pub actors: Vec<Actor>,
    pub questions: BTreeMap<Question, (Place, About)>,
    pub old_questions: Vec<Question>,
    pub now: u64,
    /// Which of the next actions fail.
    pub faults: Digits,
    /// When processes were begun to be made, and how many.
    pub starts: VecDeque<(u64, u64)>,
    /// What the core is being told.
    pub telling: Option<Event>,
    /// What the core wanted for the machine.
    pub demands: Vec<Demand>,
    /// Actions performed.
    pub performed: u64,
    /// Events told.
    pub told: u64,
    pub ended: bool,
    pub seen: u64,
}

impl World {
    pub fn new(table: Table) -> Self {
        let history = History { confirmed: true, reboots: 0 };
        Self {
            services: Services::new(table.clone(), 11, history, Monotonic::from_millis(0)),
            actors: table.units.iter().map(|_| Actor::default()).collect(),
            units: table.units.clone(),
            table,
            questions: BTreeMap::new(),
            old_questions: Vec::new(),
            now: 0,
            faults: Digits(0),
            starts: VecDeque::new(),
            telling: None,
            demands: Vec::new(),
            performed: 0,
            told: 0,
            ended: false,
            seen: 1,
        }
    }

    pub fn begun(table: Table) -> Self {
        let mut world = Self::new(table);
        world.tell(Event::Time);
        world
    }

    pub fn moment(&self) -> Monotonic {
        Monotonic::from_millis(self.now)
    }

    pub fn place(&self, name: &str) -> Place {
        self.services.place(name).unwrap()
    }

    pub fn state(&self, name: &str) -> StateName {
        self.services.state(self.place(name)).unwrap()
    }

    pub fn actor(&mut self, place: Place) -> &mut Actor {
        &mut self.actors[place.index()]
    }

    pub fn unit(&self, place: Place) -> &Unit {
        &self.units[place.index()]
    }

    /// Tells the core something, and does what it wants.
    pub fn tell(&mut self, event: Event) {
        self.told += 1;
        self.telling = Some(event.clone());
        let before = must::Before::of(self);
        let steps = self.services.handle(event, self.moment());
        let quiet = steps.is_empty();
        must::after_event(self, &before, quiet);
        self.perform(steps);
        must::at_rest(self);
    }

    pub fn report(&mut self, service: Place, instance: Instance, report: Report) {
        self.tell(Event::Report { service, instance, report });
    }

    /// Performs steps, in order; what they make happen at once is told after them.
    pub fn perform(&mut self, steps: Vec<Step>) {
        let mut queue = VecDeque::from(steps);
        while let Some(step) = queue.pop_front() {
            self.performed += 1;
            let Step::Service { service, instance, action } = step else {
                if let Step::Machine(demand) = step {
                    self.demands.push(demand);
                }
                continue;
            };
            for event in self.perform_one(service, instance, action) {
                self.told += 1;
                self.telling = Some(event.clone());
                let before = must::Before::of(self);
                let steps = self.services.handle(event, self.moment());
                must::after_event(self, &before, steps.is_empty());
                queue.extend(steps);
            }
        }
    }

    fn fails(&mut self) -> bool {
        self.faults.take(4) == 1
    }

    fn perform_one(&mut self, place: Place, instance: Instance, action: Action) -> Vec<Event> {
        must::before_action(self, place, instance, &action);
        let fails = self.fails();
        let why = || "Cannot allocate memory (os error 12)".to_owned();
        let report = |report| vec![Event::Report { service: place, instance, report }];
        match action {
            Action::Prepare if fails => report(Report::CouldNot(Deed::Prepare, why())),
            Action::Prepare => {
                self.actor(place).group = true;
                report(Report::Prepared)
            }
            Action::RunStep { kind, index } if fails => {
                report(Report::StepEnded { kind, index, how: Ending::NotStarted(why()) })
            }
            Action::RunStep { kind, index } => {
                self.actor(place).step = Some((instance, kind, index));
                Vec::new()
            }
            Action::StartMain if fails => {
                self.actor(place).earlier.push(instance);
                report(Report::Ended(Ending::NotStarted(why())))
            }
            Action::StartMain => {
                self.actor(place).main = Some(instance);
                let overlay = self.actor(place).overlay;
                report(Report::Started { overlay })
            }
            Action::Ask { question, about, .. } => {
                self.questions.insert(question, (place, about));
                if fails { self.answer(question, Finding::CouldNotAsk) } else { Vec::new() }
            }
            Action::Forget(question) => {
                self.questions.remove(&question);
                self.old_questions.push(question);
                Vec::new()
            }
            Action::SignalMain(_) if fails => report(Report::CouldNot(Deed::Signal, why())),
            Action::SignalGroup(_) => {
                self.actor(place).watch = Some(instance);
                match self.if_empty(place) {
                    empty if !empty.is_empty() => empty,
                    _ if fails => report(Report::CouldNot(Deed::Signal, why())),
                    _ => self.children_hear(place),
                }
            }
            Action::KillMain | Action::KillStep | Action::KillGroup | Action::KillReload if fails => {
                if action == Action::KillGroup {
                    self.actor(place).watch = Some(instance);
                }
                report(Report::CouldNot(Deed::Kill, why()))
            }
            Action::KillMain => self.end_main(place, &Ending::Signal(9), false),
            Action::KillStep => self.end_step(place, &Ending::Signal(9), false),
            Action::KillReload => self.end_reload(place, &Ending::Signal(9), false),
            Action::KillGroup => {
                self.actor(place).watch = Some(instance);
                let mut events = self.end_main(place, &Ending::Signal(9), false);
                events.extend(self.end_step(place, &Ending::Signal(9), false));
                events.extend(self.end_reload(place, &Ending::Signal(9), false));
                if !self.actor(place).unkillable {
                    self.actor(place).children = false;
                }
                events.extend(self.if_empty(place));
                events
            }
            Action::WatchGroup => {
                self.actor(place).watch = Some(instance);
                self.if_empty(place)
            }
            Action::SpareGroup if !self.actor(place).is_populated() => report(Report::GroupRemoved),
            Action::RemoveGroup | Action::SpareGroup if fails || self.actor(place).is_populated() => {
                report(Report::CouldNot(Deed::Remove, why()))
            }
            Action::RemoveGroup | Action::SpareGroup => {
                self.actor(place).group = false;
                report(Report::GroupRemoved)
            }
            Action::RunReload if fails => report(Report::ReloadEnded(Ending::NotStarted(why()))),
            Action::RunReload => {
                self.actor(place).reload = Some(instance);
                Vec::new()
            }
            Action::SignalMain(_) | Action::FreezeLog => Vec::new(),
        }
    }

    /// Whoever is left in a group hears a signal: those end by it that listen.
    fn children_hear(&mut self, place: Place) -> Vec<Event> {
        let actor = self.actor(place);
        actor.children &= actor.unkillable || actor.deaf;
        self.if_empty(place)
    }

    /// Who watches the group is told if it is empty.
    pub fn if_empty(&mut self, place: Place) -> Vec<Event> {
        let actor = self.actor(place);
        if actor.is_populated() {
            return Vec::new();
        }
        let watch = actor.watch.take();
        watch
            .map(|instance| Event::Report { service: place, instance, report: Report::GroupEmpty })
            .into_iter()
            .collect()
    }

    pub fn end_main(&mut self, place: Place, how: &Ending, by_itself: bool) -> Vec<Event> {
        let actor = self.actor(place);
        if actor.unkillable && !by_itself {
            return Vec::new();
        }
        let Some(instance) = actor.main.take() else { return Vec::new() };
        actor.earlier.push(instance);
        vec![Event::Report { service: place, instance, report: Report::Ended(how.clone()) }]
    }

    pub fn end_step(&mut self, place: Place, how: &Ending, by_itself: bool) -> Vec<Event> {
        let actor = self.actor(place);
        if actor.unkillable && !by_itself {
            return Vec::new();
        }
        let Some((instance, kind, index)) = actor.step.take() else { return Vec::new() };
        let report = Report::StepEnded { kind, index, how: how.clone() };
        vec![Event::Report { service: place, instance, report }]
    }

    pub fn end_reload(&mut self, place: Place, how: &Ending, by_itself: bool) -> Vec<Event> {
        let actor = self.actor(place);
        if actor.unkillable && !by_itself {
            return Vec::new();
        }
        let Some(instance) = actor.reload.take() else { return Vec::new() };
        vec![Event::Report { service: place, instance, report: Report::ReloadEnded(how.clone()) }]
    }

    pub fn answer(&mut self, question: Question, finding: Finding) -> Vec<Event> {
        self.questions.remove(&question);
        self.old_questions.push(question);
        vec![Event::Answered { question, finding }]
    }

    pub fn tell_all(&mut self, events: Vec<Event>) {
        for event in events {
            self.tell(event);
        }
    }

    /// Lets so much time pass, stopping wherever the core wants to be told.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        let mut spins = 0;
        while let Some(deadline) = self.services.deadline().map(Monotonic::millis).filter(|at| *at <= end) {
            spins = if deadline <= self.now { spins + 1 } else { 0 };
            assert!(
                spins < 4,
                "a timer at {deadline} that is never done at {}: {:?}",
                self.now,
                self.states()
            );
            self.now = self.now.max(deadline);
            self.tell(Event::Time);
        }
        self.now = end;
        self.tell(Event::Time);
    }

    pub fn states(&self) -> Vec<StateName> {
        self.services.places().map(|place| self.services.state(place).unwrap()).collect()
    }

    /// What was recorded since it was last looked.
    pub fn news(&mut self) -> Vec<Record> {
        let journal = self.services.journal();
        let news = journal.since(self.seen).map(|(_, record)| record.clone()).collect();
        self.seen = journal.next();
        news
    }

    pub fn owns_group(&self, place: Place) -> bool {
        self.unit(place).kill == KillScope::Cgroup
    }
}
