//! What the dashboard knows, and what keys and news do to it.
//!
//! Pure, and bounded: of logs and events it keeps the last lines. One machine is selected; its services, logs and
//! events are shown.

use std::collections::{BTreeMap, VecDeque};

use node_api::reply::{Event, LogLine, Service, Status};

use crate::node::Target;

/// Lines of logs and of events that are kept per machine: more than a screen has.
const KEPT: usize = 500;

/// Something that has happened.
#[derive(Debug)]
pub(super) enum News {
    /// A machine said how it is, or did not.
    Status(String, Result<Box<Status>, String>),
    /// A machine's services.
    Services(String, Vec<Service>),
    /// A line of a machine's logs.
    Log(String, Box<LogLine>),
    /// An event of a machine.
    Event(String, Box<Event>),
    /// A key.
    Key(Key),
}

/// What keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The service above.
    Up,
    /// The service below.
    Down,
    /// The next machine.
    Next,
    /// The machine before.
    Previous,
    /// The end.
    Quit,
}

/// What is known of a machine.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// How it is.
    pub status: Option<Result<Box<Status>, String>>,
    /// Its services.
    pub services: Vec<Service>,
    /// Its latest log lines.
    pub logs: VecDeque<LogLine>,
    /// Its latest events.
    pub events: VecDeque<Event>,
}

/// All that is known.
#[derive(Debug)]
pub(super) struct State {
    /// The cluster's name.
    pub cluster: String,
    /// Machines in the cluster's order, with their roles.
    pub machines: Vec<(String, String)>,
    /// What is known of each.
    pub known: BTreeMap<String, Known>,
    /// The selected machine.
    pub machine: usize,
    /// The selected service of it.
    pub service: usize,
    over: bool,
}

impl State {
    /// Nothing is known yet.
    pub(super) fn new(target: &Target) -> Self {
        Self {
            cluster: target.cluster.clone(),
            machines: target
                .machines
                .iter()
                .map(|machine| (machine.name.clone(), machine.role.clone()))
                .collect(),
            known: BTreeMap::new(),
            machine: 0,
            service: 0,
            over: false,
        }
    }

    /// Whether somebody wants to leave.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The selected machine's name and what is known of it.
    pub(super) fn selected(&self) -> Option<(&str, &Known)> {
        let (name, _) = self.machines.get(self.machine)?;
        Some((name, self.known.get(name)?))
    }

    /// Takes up what has happened.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Status(machine, status) => self.of(machine).status = Some(status),
            News::Services(machine, services) => {
                self.of(machine).services = services;
                self.keep_selection();
            }
            News::Log(machine, line) => push(&mut self.of(machine).logs, *line),
            News::Event(machine, event) => push(&mut self.of(machine).events, *event),
            News::Key(key) => self.press(key),
        }
    }

    fn of(&mut self, machine: String) -> &mut Known {
        self.known.entry(machine).or_default()
    }

    fn press(&mut self, key: Key) {
        let count = self.machines.len().max(1);
        match key {
            Key::Up => self.service = self.service.saturating_sub(1),
            Key::Down => self.service += 1,
            Key::Next => self.machine = (self.machine + 1) % count,
            Key::Previous => self.machine = (self.machine + count - 1) % count,
            Key::Quit => self.over = true,
        }
        self.keep_selection();
    }

    fn keep_selection(&mut self) {
        let services = self.selected().map_or(0, |(_, known)| known.services.len());
        self.service = self.service.min(services.saturating_sub(1));
    }
}

fn push<T>(kept: &mut VecDeque<T>, piece: T) {
    if kept.len() >= KEPT {
        kept.pop_front();
    }
    kept.push_back(piece);
}
