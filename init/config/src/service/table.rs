//! The services of an image as PID 1 reads them: one binary table.
//!
//! Names are places, defaults are filled in, nothing is left to check but the table's own
//! version. Written by the builder through `layout`, encoded with postcard; the file is on the
//! verified root file system, so a table that does not decode is a broken build.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::access::{DirectoryMode, Group};
use super::sandbox::Sandbox;
use super::spec::{Class, ExitRule, KillScope, Limits, LogSpec, OnLoss, OomPolicy, Start, StopSignal};
use crate::name::ServiceName;
use crate::span::Span;

/// The version of the layout below; init and table come from the same image, so any other is refused.
const VERSION: u16 = 3;

/// Why bytes are no table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not this version's.
    #[error("the service table has version {0}, this init reads {VERSION}")]
    Version(u16),
    /// Not one of ours.
    #[error("not decodable: {0}")]
    Encoding(postcard::Error),
    /// More than was encoded.
    #[error("{0} bytes too many")]
    Rest(usize),
    /// A need that does not come before who needs it.
    #[error("service {0} needs one that does not come before it")]
    Order(ServiceName),
    /// The same name twice.
    #[error("service {0} is there twice")]
    Duplicate(ServiceName),
}

/// A service's place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place(pub u16);

impl Place {
    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// All services of an image; every one comes after what it needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The services, by place.
    pub units: Vec<Unit>,
}

/// One service, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Its name.
    pub name: ServiceName,
    /// One line for people.
    pub description: String,
    /// Program and fixed arguments.
    pub exec: Vec<String>,
    /// Whether it is started only with an overlay.
    pub configured: bool,
    /// `NAME=VALUE` each.
    pub environment: Vec<String>,
    /// What it needs.
    pub edges: Vec<Edge>,
    /// The earliest moment that it starts at.
    pub start: Start,
    /// Whether the machine is up only with it.
    pub milestone: bool,
    /// Whether it is stopped only once everything else has.
    pub until_end: bool,
    /// What its failing means for the machine.
    pub class: Class,
    /// How it shows that it is ready.
    pub ready: Ready,
    /// How long a start may take; for ever without it.
    pub start_timeout: Option<Span>,
    /// How it shows that it is alive.
    pub liveness: Option<Liveness>,
    /// How it takes up changed files.
    pub reload: Option<Reload>,
    /// The pause after the first failure.
    pub pause: Span,
    /// The longest pause.
    pub longest_pause: Span,
    /// Statuses by which it says that trying again is of no use.
    pub permanent_exits: Vec<u8>,
    /// How often a task is tried.
    pub attempts: Option<u16>,
    /// What counts as its end.
    pub exit: ExitRule,
    /// Run before each start.
    pub before_start: Vec<Vec<String>>,
    /// Run after each end.
    pub after_stop: Vec<Vec<String>>,
    /// What asks it to end.
    pub stop_signal: StopSignal,
    /// From there to SIGKILL.
    pub stop_timeout: Span,
    /// What is killed with it.
    pub kill: KillScope,
    /// Signals that an operator may send.
    pub signals: Vec<StopSignal>,
    /// User and group; root without it.
    pub user: Option<u32>,
    /// Groups beside its own.
    pub groups: Vec<Group>,
    /// Directories that are made for it.
    pub directories: Vec<(String, DirectoryMode)>,
    /// How dear it is to the OOM killer.
    pub oom_score_adjust: i16,
    /// What a kill for memory means to it.
    pub oom_policy: OomPolicy,
    /// What it may use.
    pub limits: Limits,
    /// What it may do.
    pub sandbox: Sandbox,
    /// How much it may say.
    pub log: LogSpec,
}

/// A need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Whom.
    pub to: Place,
    /// Of what kind.
    pub kind: EdgeKind,
    /// What its loss means.
    pub on_loss: OnLoss,
}

/// A kind of need. What is pulled in is started with the dependent; `After` alone pulls nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EdgeKind {
    /// It must be ready or done.
    Requires,
    /// It must have been ready once since boot.
    Milestone,
    /// It is waited for, so long.
    Wants {
        /// At most.
        within: Span,
    },
    /// It comes before, if it is started at all.
    After,
}

/// How a service shows that it is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ready {
    /// A task: by exiting with 0.
    Exit,
    /// By being executed.
    Exec,
    /// By `READY=1`.
    Notify,
    /// By a line on this descriptor.
    Descriptor(u8),
    /// By answering.
    Probe {
        /// The words of the question.
        ask: Vec<String>,
        /// Between two questions once it is ready.
        every: Span,
    },
}

/// How a service shows that it is alive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Liveness {
    /// The words of a question; `WATCHDOG=1` without them.
    pub ask: Option<Vec<String>>,
    /// Between two questions.
    pub every: Span,
    /// How many in a row may go unanswered.
    pub failures: u8,
}

/// How a service takes up changed files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reload {
    /// By a signal.
    Signal(StopSignal),
    /// By a command.
    Command(Vec<String>),
}

impl Table {
    /// As the image holds it.
    ///
    /// # Errors
    /// None that a table made by `layout` can cause.
    pub fn encode(&self) -> Result<Vec<u8>, TableError> {
        postcard::to_allocvec(&(VERSION, self)).map_err(TableError::Encoding)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let (version, rest) = postcard::take_from_bytes::<u16>(bytes).map_err(TableError::Encoding)?;
        if version != VERSION {
            return Err(TableError::Version(version));
        }
        let table: Self = whole(rest)?;
        table.in_order()?;
        Ok(table)
    }

    /// Everything that walks needs relies on their going back: a cycle would have no end.
    fn in_order(&self) -> Result<(), TableError> {
        let mut names = BTreeSet::new();
        for (at, unit) in self.units.iter().enumerate() {
            if unit.edges.iter().any(|edge| edge.to.index() >= at) {
                return Err(TableError::Order(unit.name.clone()));
            }
            if !names.insert(&unit.name) {
                return Err(TableError::Duplicate(unit.name.clone()));
            }
        }
        Ok(())
    }

    /// Where a service is.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Place> {
        let index = self.units.iter().position(|unit| unit.name.as_str() == name)?;
        u16::try_from(index).ok().map(Place)
    }
}

/// All of `bytes` as one value: bytes that are left over are as wrong as bytes that are missing.
pub(super) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TableError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(TableError::Encoding)?;
    if rest.is_empty() { Ok(value) } else { Err(TableError::Rest(rest.len())) }
}
