//! One service's record: what is wanted of it, its state, and its latest instance.
//!
//! Data only. `seat` changes states, `settle` and `order` change what is wanted.

use std::time::Duration;

use machine_config::service::Start;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::cause::{Cause, Failure, Reason};
use super::escalation::{Failures, Level};
use super::event::{Digest, Instance};
use super::health::Health;
use super::state::State;
use crate::control::message::Stamps;
use crate::monotonic::Monotonic;

/// Whether a service is to be up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Yes.
    Up,
    /// As soon as the machine is up.
    WhenUp,
    /// As long as another wants it.
    OnDemand,
    /// No, whoever wants it: an operator said so.
    Down,
}

impl Goal {
    /// What the image says.
    #[must_use]
    pub fn of(start: Start) -> Self {
        match start {
            Start::WhileBooting => Goal::Up,
            Start::WhenUp => Goal::WhenUp,
            Start::OnDemand => Goal::OnDemand,
        }
    }
}

/// How a held service stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Up, with its failures mended.
    Up,
    /// Down.
    Down,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its state.
    pub state: State,
    /// Since when.
    pub since: Monotonic,
    /// What is wanted by itself.
    pub goal: Goal,
    /// What is wanted, all considered.
    pub desired: bool,
    /// Whether nothing may change that.
    pub hold: Option<Hold>,
    /// Why it is to end although it is wanted.
    pub leave: Option<Reason>,
    /// Whether it was ready once since boot.
    pub was_ready: bool,
    /// Its latest instance.
    pub run: Run,
    /// Instances since boot.
    pub starts: u32,
    /// When it was last given a start, counted over all services.
    pub served: u64,
    /// Its pauses.
    pub backoff: Backoff,
    /// Its latest failures.
    pub failures: Failures,
    /// How often its task was tried.
    pub attempts: u16,
    /// Which needs, by edge, were lost while it ran.
    pub lost: Vec<bool>,
    /// What it was last started with.
    pub overlay: Option<Digest>,
    /// How it last ended, and how long after its start.
    pub last_end: Option<(Failure, Duration)>,
    /// What a person should look at until it is ready again; see [`Self::concern`] for all there is.
    pub alarm: Option<String>,
    /// The steps of its latest start.
    pub stamps: Stamps,
}

/// A service's latest instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which.
    pub instance: Instance,
    /// Whether its group was made.
    pub prepared: bool,
    /// When its main process was started.
    pub started: Option<Monotonic>,
    /// When it was first ready.
    pub ready: Option<Monotonic>,
    /// Whether its main process may live.
    pub main: bool,
    /// Whether a step may live.
    pub step: bool,
    /// Whether its reload command may live.
    pub reload: bool,
    /// How its main process ended while others of it live on.
    pub ended: Option<super::event::Ending>,
    /// What it was started with, once that is known.
    pub executed: bool,
    /// What it should have been started with, as far as was said meanwhile.
    pub applied: Option<Option<Digest>>,
    /// Whether files changed again while they were taken up.
    pub reload_again: bool,
    /// Its questions.
    pub health: Health,
}

impl Member {
    /// One that was never started.
    #[must_use]
    pub fn new(start: Start, edges: usize) -> Self {
        Self {
            state: State::Off,
            since: Monotonic::default(),
            goal: Goal::of(start),
            desired: false,
            hold: None,
            leave: None,
            was_ready: false,
            run: Run::default(),
            starts: 0,
            served: 0,
            backoff: Backoff::default(),
            failures: Failures::default(),
            attempts: 0,
            lost: vec![false; edges],
            overlay: None,
            last_end: None,
            alarm: None,
            stamps: Stamps::default(),
        }
    }

    /// How long it has been ready.
    #[must_use]
    pub fn ready_for(&self, now: Monotonic) -> Duration {
        self.run.ready.map_or(Duration::ZERO, |ready| now.since(ready))
    }

    /// How long ago its main process was started.
    #[must_use]
    pub fn ran_for(&self, now: Monotonic) -> Duration {
        self.run.started.map_or(Duration::ZERO, |started| now.since(started))
    }

    /// What a person should look at now.
    #[must_use]
    pub fn concern(&self, now: Monotonic) -> Option<String> {
        let (level, times) = self.failures.level(now);
        let often = Cause::often(level, times).map(|often| often.words(|_| "a need"));
        match level {
            Level::Degraded => often,
            Level::None | Level::Alarm => self.alarm.clone().or(often),
        }
    }

    /// Whether the node does not do its work for it.
    #[must_use]
    pub fn degrades_node(&self, now: Monotonic) -> bool {
        self.failures.level(now).0 == Level::Degraded
    }

    /// It has a clean record.
    pub fn forgive(&mut self) {
        self.backoff = Backoff::default();
        self.failures.forget();
        self.attempts = 0;
        self.alarm = None;
    }
}
