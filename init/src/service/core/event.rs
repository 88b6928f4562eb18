//! What the core is told: reports about services, answers to questions, news of the machine.
//!
//! Every report names the instance it is about; one about an instance that is gone changes
//! nothing. The shell reports how everything it was asked to do went, also when it could not
//! do it: see [`super::action::Action`] for which report answers which action.

use std::time::Duration;

use machine_config::service::Place;
use serde::{Deserialize, Serialize};

use crate::control::message::Finding;

/// One start of one service; never given twice in the life of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance(pub u64);

/// One question to probed; never asked twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Question(pub u64);

/// What an overlay says, as a number: equal overlays have equal ones. No overlay has one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(pub u64);

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// With a status.
    Status(i32),
    /// By a signal.
    Signal(i32),
    /// Its program never ran; why, in words.
    NotStarted(String),
}

/// When a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepKind {
    /// One of `before_start`.
    Before,
    /// One of `after_stop`.
    After,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// To a service.
    Report {
        /// Which.
        service: Place,
        /// Its instance.
        instance: Instance,
        /// What.
        report: Report,
    },
    /// Probed answered, or could not.
    Answered {
        /// Which question.
        question: Question,
        /// How.
        finding: Finding,
    },
    /// The machine slept, or its clock was set by more than a second: nobody is late for a while.
    ClockJumped,
    /// PSI `cpu.some` went above 60 %, or below again.
    Pressure {
        /// Whether it is above.
        high: bool,
    },
    /// The image that runs was confirmed as good. For roadmap/media-and-reflash.md's health gate: until there are
    /// updates, the shell begins with a confirmed image and nobody says this.
    ImageConfirmed,
    /// So often the core has had the machine rebooted in the 24 hours before this boot.
    Rebooted(u8),
    /// A deadline may have passed.
    Time,
}

/// What happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Its group and fences are made.
    Prepared,
    /// A step before its start or after its end was reaped, or could not be started.
    StepEnded {
        /// When it ran.
        kind: StepKind,
        /// Its index in the unit's list.
        index: u16,
        /// How it ended.
        how: Ending,
    },
    /// Its program was executed, with this overlay.
    Started {
        /// What the overlay said.
        overlay: Option<Digest>,
    },
    /// Its main process was reaped, or never came to be. Exactly one follows every `StartMain`.
    Ended(Ending),
    /// It said `READY=1`.
    SaidReady,
    /// It said `RELOADING=1`.
    SaidReloading,
    /// It said `EXTEND_TIMEOUT_USEC=`.
    Extended(Duration),
    /// It said `WATCHDOG=1`.
    Pinged,
    /// It wrote a line to its descriptor for readiness.
    WroteReady,
    /// Nobody is in its group. Only in answer to `SignalGroup`, `KillGroup` and `WatchGroup`, and true when it is sent.
    GroupEmpty,
    /// Its group is removed, or was never made.
    GroupRemoved,
    /// Its reload command was reaped, or could not be started.
    ReloadEnded(Ending),
    /// The kernel killed a process in its group for memory.
    OutOfMemory,
    /// An action could not be done; why, in words.
    CouldNot(Deed, String),
}

/// An action that has no report of its own for going wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// `Prepare`.
    Prepare,
    /// `SignalMain` and `SignalGroup`.
    Signal,
    /// `KillMain`, `KillStep` or `KillGroup`.
    Kill,
    /// `RemoveGroup` and `SpareGroup`.
    Remove,
}
