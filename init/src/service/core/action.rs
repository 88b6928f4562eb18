//! What the core wants done: everything the shell must do, and nothing else.
//!
//! The shell performs steps in the order it gets them. It decides nothing: an action that it
//! cannot do it reports ([`super::event::Report`]), and the core has a deadline for every
//! report that it waits for.

use std::time::Duration;

use machine_config::service::{Place, StopSignal};

use super::event::{Instance, Question, StepKind};

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// For a service.
    Service {
        /// Which.
        service: Place,
        /// Its instance.
        instance: Instance,
        /// What.
        action: Action,
    },
    /// For the machine.
    Machine(Demand),
}

impl Step {
    /// Whether it makes a process.
    #[must_use]
    pub fn makes_process(&self) -> bool {
        let Step::Service { action, .. } = self else { return false };
        matches!(action, Action::StartMain | Action::RunStep { .. } | Action::RunReload)
    }
}

/// What is done for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make its group with its limits and fences. `Prepared`, or `CouldNot(Prepare)`.
    Prepare,
    /// Run one of its steps inside the group (made anew if it was killed). Exactly one `StepEnded`.
    RunStep {
        /// From which list.
        kind: StepKind,
        /// Which of it.
        index: u16,
    },
    /// Kill the step that runs, by its pidfd. `StepEnded` follows once it is reaped.
    KillStep,
    /// Start its main process. `Started` once its program is executed; in any case exactly one `Ended`.
    StartMain,
    /// Ask probed what the unit's `ready` or `liveness` asks. One `Answered`; the core copes with none.
    Ask {
        /// Under this number.
        question: Question,
        /// Whose words.
        about: About,
        /// How long the answer may take.
        within: Duration,
    },
    /// Nobody waits for the answer any more.
    Forget(Question),
    /// Send its main process a signal; nothing if it has none. At most `CouldNot(Signal)`.
    SignalMain(StopSignal),
    /// Send everybody who is in its group this signal, if somebody is, then as [`Action::WatchGroup`]. Also at most
    /// one `CouldNot(Signal)`.
    SignalGroup(StopSignal),
    /// Kill its main process. `Ended` follows.
    KillMain,
    /// Kill everything in its group, then as [`Action::WatchGroup`].
    KillGroup,
    /// Report `GroupEmpty` as soon as nobody is in its group: at once if nobody is, or it has none.
    WatchGroup,
    /// Remove its group. `GroupRemoved`, or `CouldNot(Remove)`: it is tried again.
    RemoveGroup,
    /// Keep its group for the next instance if it is as new, else remove it. As [`Action::RemoveGroup`].
    SpareGroup,
    /// Run its reload command in its group. Exactly one `ReloadEnded`.
    RunReload,
    /// Kill its reload command, by its pidfd.
    KillReload,
    /// Keep the last lines of its log: it failed.
    FreezeLog,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum About {
    /// Whether it is ready.
    Readiness,
    /// Whether it is alive.
    Liveness,
}

/// What is done for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Tell people: everything that counts is ready. Once.
    Up,
    /// Tell people that a service needs one of them; the words are in the journal as well.
    Alarm {
        /// Which.
        service: Place,
        /// Why.
        why: String,
    },
    /// Reboot, in order, and count it in what survives a reboot.
    Reboot {
        /// Into what.
        into: Slot,
        /// For whom.
        service: Place,
        /// Why.
        reason: String,
    },
}

/// What is booted next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// What runs now.
    Same,
    /// What ran before: this image was never confirmed. For roadmap/media-and-reflash.md's two slots: until there are
    /// updates no image waits to be confirmed, and this is never asked for.
    Previous,
}
