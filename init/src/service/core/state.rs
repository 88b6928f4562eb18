//! The states of a service and what each of them carries; the picture is at [`State`].
//!
//! Names for others are `control::message::StateName`. What survives from one state to the
//! next (the instance, its processes, stamps) is `member`'s.

use std::time::Duration;

use machine_config::service::Place;
use serde::{Deserialize, Serialize};

use super::cause::Reason;
use crate::control::message::StateName;
use crate::monotonic::Monotonic;

/// How long making the group and the steps before the start may take.
pub const PREPARE_WITHIN: Duration = Duration::from_secs(60);
/// When a start without a timeout is an alarm.
pub const SLOW_START: Duration = Duration::from_secs(90);
/// How long one `EXTEND_TIMEOUT_USEC` may be.
pub const EXTENSION_MAX: Duration = Duration::from_secs(600);
/// How long taking up changed files may take.
pub const RELOAD_WITHIN: Duration = Duration::from_secs(30);
/// Between two SIGKILLs.
pub const KILL_AGAIN: Duration = Duration::from_secs(5);
/// From the first SIGKILL to giving up.
pub const KILL_WITHIN: Duration = Duration::from_secs(30);
/// How long all steps after the end may take together.
pub const AFTER_WITHIN: Duration = Duration::from_secs(10);
/// How long what the steps left behind, and the group, may take to go.
pub const SWEEP_WITHIN: Duration = Duration::from_secs(1);
/// Between two attempts to remove a group: it is busy for a moment after its last process.
pub const REMOVE_AGAIN: Duration = Duration::from_millis(100);

/// What a service is doing.
///
/// ```text
///  Off ◄────────── not wanted: from every state without processes ◄──────────┐
///   │ wanted                                                                 │
///   ▼         needs met, a start is free                                     │
///  Waiting ──────────────► Preparing ──► Starting ──────► Ready ◄─► Reloading│
///   ▲  ▲ │                    │ │           │ │ told so   ▲ │ probes  │      │
///   │  │ ▼ a need failed      │ │           │ │           │ ▼         │      │
///   │ Blocked                 │ │           │ │         Degraded      │      │
///   │                         │ │           │ └─ asked to end: from all four │
///   │ pause over              │ └─ failed   │ ended          ▼               │
///  Backoff ◄──────────────── Cleaning ◄─────┴──────────── Stopping           │
///                  │   ▲  │  │  ▲  └───────────────────►    │ too slow       │
///      task done   ▼   │  │  │  └── all gone ───────────  Killing            │
///          Done ◄──┘   │  │  └─► Off, Waiting               │ never gone     │
///                      │  ▼ given up                        ▼                │
///                      │ Failed           └── gone at last ─ Stuck ──────────┘
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Down.
    Off,
    /// For its needs, or for its turn to start.
    Waiting,
    /// By a need that failed for good.
    Blocked {
        /// Which.
        on: Place,
    },
    /// Nothing of its main process is there yet.
    Preparing {
        /// How far.
        stage: Preparation,
        /// Then it has failed.
        until: Monotonic,
    },
    /// Its main process is not ready yet.
    Starting(StartDeadline),
    /// It works.
    Ready,
    /// It runs, but something says that it does not work.
    Degraded(Degradation),
    /// It takes up changed files.
    Reloading {
        /// What shows that it has.
        sign: ReloadSign,
        /// Since when.
        since: Monotonic,
        /// Then it has not.
        until: Monotonic,
    },
    /// It pauses.
    Backoff {
        /// Until then.
        until: Monotonic,
    },
    /// It was asked to end.
    Stopping {
        /// Why.
        why: Reason,
        /// Then it is killed.
        until: Monotonic,
    },
    /// It was killed.
    Killing {
        /// Why it was to end.
        why: Reason,
        /// How long that is borne.
        doom: Doom,
    },
    /// It has ended; what is left of it goes.
    Cleaning {
        /// How far.
        stage: Cleanup,
        /// And then.
        then: Then,
    },
    /// It cannot be killed.
    Stuck {
        /// What would follow if it were gone.
        then: Then,
    },
    /// It is not tried again.
    Failed,
    /// Its task is done.
    Done,
}

/// How far a preparation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preparation {
    /// The group is being made.
    Group,
    /// This step runs.
    Step(u16),
}

/// What happens when a start takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartDeadline {
    /// It has failed then.
    Fails(Monotonic),
    /// People are told then.
    Tells(Monotonic),
    /// Nothing any more.
    None,
}

/// Why a service is degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Degradation {
    /// Its probe says no.
    Probe,
    /// It did not take up changed files.
    Reload,
}

/// What shows that changed files were taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReloadSign {
    /// `RELOADING=1`, then `READY=1`.
    Announcement,
    /// `READY=1`.
    Ready,
    /// A good answer.
    Answer,
    /// The command's status.
    Command,
}

/// How long the dead may linger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doom {
    /// The kill is repeated then.
    pub again: Monotonic,
    /// It is given up then.
    pub give_up: Monotonic,
}

impl Doom {
    /// Of what is killed now.
    #[must_use]
    pub fn from(now: Monotonic) -> Self {
        Self { again: now.after(KILL_AGAIN), give_up: now.after(KILL_WITHIN) }
    }

    /// The next moment that matters.
    #[must_use]
    pub fn next(self) -> Monotonic {
        self.again.min(self.give_up)
    }
}

/// How far a cleanup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cleanup {
    /// Its last processes are being killed.
    Emptying {
        /// How long that is borne.
        doom: Doom,
        /// Whether its group is known to be empty.
        empty: bool,
    },
    /// This step runs.
    Step {
        /// Which.
        index: u16,
        /// Then all steps are over.
        until: Monotonic,
    },
    /// What the steps left is being killed.
    Sweeping {
        /// It is given up then.
        until: Monotonic,
    },
    /// Its group is being removed.
    Removing {
        /// Tried again then.
        again: Monotonic,
        /// The group stays from then on.
        until: Monotonic,
    },
}

/// What follows a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// Nothing, or the next start if it is wanted.
    Rest,
    /// A pause until then.
    Pause(Monotonic),
    /// It is given up.
    Fail,
    /// Its task is done.
    Done,
}

impl State {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> StateName {
        match self {
            State::Off => StateName::Off,
            State::Waiting => StateName::Waiting,
            State::Blocked { .. } => StateName::Blocked,
            State::Preparing { .. } => StateName::Preparing,
            State::Starting(_) => StateName::Starting,
            State::Ready => StateName::Ready,
            State::Degraded(_) => StateName::Degraded,
            State::Reloading { .. } => StateName::Reloading,
            State::Backoff { .. } => StateName::Backoff,
            State::Stopping { .. } => StateName::Stopping,
            State::Killing { .. } => StateName::Killing,
            State::Cleaning { .. } => StateName::Cleaning,
            State::Stuck { .. } => StateName::Stuck,
            State::Failed => StateName::Failed,
            State::Done => StateName::Done,
        }
    }

    /// Whether others may start on it. Who did not take up changed files works with those it had: keeping
    /// everybody else down until a person comes would be worse.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, State::Ready | State::Done | State::Degraded(Degradation::Reload))
    }

    /// Whether those who have it still have it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, State::Ready | State::Done | State::Degraded(_) | State::Reloading { .. })
    }

    /// Whether it can be asked to end.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(
            self,
            State::Preparing { .. }
                | State::Starting(_)
                | State::Ready
                | State::Degraded(_)
                | State::Reloading { .. }
        )
    }

    /// Whether it is on its way out.
    #[must_use]
    pub fn goes(&self) -> bool {
        matches!(self, State::Stopping { .. } | State::Killing { .. } | State::Cleaning { .. })
    }

    /// Whether there is nothing of it.
    #[must_use]
    pub fn rests(&self) -> bool {
        !self.runs() && !self.goes() && !matches!(self, State::Stuck { .. })
    }

    /// Whether waiting for it is of no use.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self, State::Failed | State::Blocked { .. } | State::Stuck { .. })
    }

    /// When time itself changes it.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        match self {
            State::Preparing { until, .. }
            | State::Reloading { until, .. }
            | State::Backoff { until }
            | State::Stopping { until, .. }
            | State::Starting(StartDeadline::Fails(until) | StartDeadline::Tells(until)) => Some(*until),
            State::Killing { doom, .. } => Some(doom.next()),
            State::Cleaning { stage, .. } => Some(match stage {
                Cleanup::Emptying { doom, .. } => doom.next(),
                Cleanup::Step { until, .. } | Cleanup::Sweeping { until } => *until,
                Cleanup::Removing { again, until } => *again.min(until),
            }),
            _ => None,
        }
    }
}
