//! What all services of a machine share: the record, the bucket of starts, counters, steps.
//!
//! Saved with the services, but for what only lives within one event: the steps that were
//! decided on, and which services were lost or came back by them.

use machine_config::service::Place;
use serde::{Deserialize, Serialize};

use super::action::Step;
use super::cause::Cause;
use super::escalation::History;
use super::event::{Instance, Question};
use super::jitter::Jitter;
use super::journal::{Change, Journal, Record};
use super::limiter::Limiter;
use crate::control::message;
use crate::monotonic::Monotonic;

/// A service became something else to those who need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is no longer up.
    Lost(Place),
    /// It is up again.
    Back(Place),
}

/// Who has to go because the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Leavers {
    /// Nothing is started any more, but what runs may finish what it does.
    Nobody,
    /// All but those that work until the end.
    Most,
    /// They, too.
    All,
}

/// What all services share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The record.
    pub journal: Journal,
    /// Chance.
    pub jitter: Jitter,
    /// The bucket of starts.
    pub limiter: Limiter,
    /// What survives reboots.
    pub history: History,
    /// When everything that counts was ready.
    pub up_since: Option<Monotonic>,
    /// How the machine ends, once it does: from then on nothing is started.
    pub ending: Option<message::Ending>,
    /// Who ends with it by now.
    pub leavers: Leavers,
    /// Nobody is judged by its liveness until then.
    pub suspended: Monotonic,
    /// Nor while there is not enough CPU for all.
    pub pressure: bool,
    /// The latest moment that was told.
    pub now: Monotonic,
    instances: u64,
    questions: u64,
    served: u64,
    /// What was decided on.
    #[serde(skip)]
    pub steps: Vec<Step>,
    /// Who was lost or came back.
    #[serde(skip)]
    pub turns: Vec<Turn>,
    /// Whether something changed that others may wait for.
    #[serde(skip)]
    pub unsettled: bool,
}

impl Machine {
    /// One that has just booted.
    #[must_use]
    pub fn new(services: usize, seed: u64, history: History, now: Monotonic) -> Self {
        Self {
            journal: Journal::new(services),
            jitter: Jitter::new(seed),
            limiter: Limiter::new(now),
            history,
            up_since: None,
            ending: None,
            leavers: Leavers::Nobody,
            suspended: Monotonic::default(),
            pressure: false,
            now,
            instances: 0,
            questions: 0,
            served: 0,
            steps: Vec::new(),
            turns: Vec::new(),
            unsettled: false,
        }
    }

    /// Adds to the record.
    pub fn record(&mut self, service: Option<Place>, change: Option<Change>, cause: Cause) {
        self.journal.push(Record { at: self.now, service, change, cause });
    }

    /// A new instance.
    pub fn instance(&mut self) -> Instance {
        self.instances = self.instances.saturating_add(1);
        Instance(self.instances)
    }

    /// A new question.
    pub fn question(&mut self) -> Question {
        self.questions = self.questions.saturating_add(1);
        Question(self.questions)
    }

    /// A new place at the end of the queue.
    pub fn serve(&mut self) -> u64 {
        self.served = self.served.saturating_add(1);
        self.served
    }

    /// Whether nobody is judged by its liveness now.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.pressure || self.now < self.suspended
    }
}
