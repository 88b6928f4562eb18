//! Why something happened, and the words for it.
//!
//! A cause is data, so that the record stays small and tests match variants; words are made
//! when somebody reads them. The console's grammar (`starting`, `ready after …`) is made from
//! the same causes by `console_line` in `journal`.

use std::time::Duration;

use machine_config::service::{Place, StopSignal};
use serde::{Deserialize, Serialize};

use super::escalation::Level;
use super::event::{Deed, Ending};
use super::state::SLOW_START;
use crate::control::message;

/// Why something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It is wanted.
    Wanted,
    /// It is no longer wanted.
    Unwanted,
    /// Everything it needs is there.
    NeedsMet,
    /// A need failed for good, or cannot be killed.
    NeedFailed(Place),
    /// A need that had failed is tried again.
    NeedRetried,
    /// A need was lost while it was being prepared.
    NeedGone,
    /// Its group and its steps before the start are done.
    Prepared,
    /// It showed that it is ready, so long after its start.
    Ready(Duration),
    /// It is being stopped.
    Stopped(Reason),
    /// It ended or could not be started, so long after its start.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// After how long.
        after: Duration,
        /// The pause until the next start; none if there is none.
        again: Option<Duration>,
    },
    /// Its main process ended with 0, as a task does.
    TaskEnded(Duration),
    /// Everything of it has ended.
    Ended,
    /// It did not end when asked to.
    TooSlow,
    /// Killed processes of it are still there.
    Lingering,
    /// Its processes do not die.
    Unkillable,
    /// Its last process is gone at last.
    Gone,
    /// Its pause is over.
    PauseOver,
    /// Its probe said no too often.
    ProbesBad,
    /// Its probe says yes again.
    ProbesGood,
    /// It is told to take up changed files, or does so by itself.
    Reloads,
    /// It has taken them up.
    Reloaded(Duration),
    /// It has not taken them up.
    ReloadFailed(String),
    /// An operator asked for something.
    Ordered(Order),
    /// It has no start timeout, but is not ready after [`SLOW_START`].
    StartsSlowly,
    /// It fails often.
    FailsOften(u8),
    /// It fails so often that the node does not do its work.
    DegradesNode(u8),
    /// The machine reboots for it.
    RebootsFor(String),
    /// Rebooting did not help; the machine stays up without it.
    StaysDown,
    /// The kernel killed a process of it for memory.
    OutOfMemory,
    /// An action could not be done.
    CouldNot(Deed, String),
    /// A step after its end failed, which stops nothing.
    StepFailed(u16, Ending),
    /// Everything that counts is ready.
    Up,
    /// The machine ends.
    Ending(message::Ending, String),
    /// Something the shell wants in the record.
    Noted(String),
}

/// What went wrong with a start or a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// Its group could not be made.
    NotPrepared(String),
    /// Making its group and running its steps took too long.
    PreparesSlowly,
    /// A step before its start went wrong.
    Step(u16, Ending),
    /// Its main process ended.
    Main(Ending),
    /// It was stopped because of itself.
    Stopped(Reason),
}

/// Why a service that runs is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Nobody wants it any more.
    Unwanted,
    /// The machine ends.
    Shutdown,
    /// An operator restarts it.
    Restart,
    /// What it was started with has changed.
    Applied,
    /// It was not ready in time.
    StartTimeout,
    /// It does not answer.
    Liveness,
    /// One of its processes was killed for memory.
    OutOfMemory,
    /// It goes down with a need that was lost.
    NeedLost(Place),
    /// A need that was lost is back.
    NeedBack(Place),
    /// It goes down before a need that is stopped.
    NeedStops(Place),
}

impl Reason {
    /// Whether it is the service's own fault, and so counts as a failure.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Reason::StartTimeout | Reason::Liveness | Reason::OutOfMemory)
    }
}

/// What an operator may ask of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// To be up.
    Start,
    /// To be down.
    Stop,
    /// To be down and up.
    Restart,
    /// To look at its files.
    Reload,
    /// To be started anew if its overlay changed.
    Apply,
    /// To forget its failures.
    Reset,
    /// To stay as it is.
    Hold,
    /// To be free again.
    Release,
    /// To be sent a signal.
    Signal(StopSignal),
}

impl Cause {
    /// What so many failures of late mean.
    #[must_use]
    pub fn often(level: Level, times: u8) -> Option<Self> {
        match level {
            Level::None => None,
            Level::Alarm => Some(Cause::FailsOften(times)),
            Level::Degraded => Some(Cause::DegradesNode(times)),
        }
    }

    /// In words; `name` gives a service's.
    pub fn words<'a>(&self, name: impl Fn(Place) -> &'a str) -> String {
        match self {
            Cause::Wanted => "wanted".to_owned(),
            Cause::Unwanted => "no longer wanted".to_owned(),
            Cause::NeedsMet => "everything it needs is there".to_owned(),
            Cause::NeedFailed(need) => format!("{} has failed", name(*need)),
            Cause::NeedRetried => "what it needs is tried again".to_owned(),
            Cause::NeedGone => "lost a need while it was being prepared".to_owned(),
            Cause::Prepared => "starting".to_owned(),
            Cause::Ready(after) => format!("ready after {}", seconds(*after)),
            Cause::Stopped(reason) => reason.words(name),
            Cause::Failed { failure, after, again } => {
                let what = failure.words(*after, name);
                match again {
                    Some(pause) => format!("{what}, again in {}", exactly(*pause)),
                    None => format!("{what}, not tried again"),
                }
            }
            Cause::TaskEnded(after) => format!("done after {}", seconds(*after)),
            Cause::Ended => "all of it has ended".to_owned(),
            Cause::TooSlow => "did not stop in time, killed".to_owned(),
            Cause::Lingering => "killed, but still there; waiting for its processes to end".to_owned(),
            Cause::Unkillable => "could not be stopped, left behind".to_owned(),
            Cause::Gone => "its last process is gone".to_owned(),
            Cause::PauseOver => "its pause is over".to_owned(),
            Cause::ProbesBad => "its probe says no".to_owned(),
            Cause::ProbesGood => "its probe says yes again".to_owned(),
            Cause::Reloads => "takes up changed files".to_owned(),
            Cause::Reloaded(after) => format!("took up changed files in {}", seconds(*after)),
            Cause::ReloadFailed(why) => format!("did not take up changed files: {why}"),
            Cause::Ordered(order) => order.words().to_owned(),
            Cause::StartsSlowly => {
                format!("not ready after {}; it is given the time that it takes", seconds(SLOW_START))
            }
            Cause::FailsOften(times) => format!("failed {times} times in 10 min"),
            Cause::DegradesNode(times) => {
                format!("failed {times} times in 10 min: the node does not do its work")
            }
            Cause::RebootsFor(why) => format!("rebooting: {why}"),
            Cause::StaysDown => "rebooting did not help, staying up without it".to_owned(),
            Cause::OutOfMemory => "a process was killed for memory".to_owned(),
            Cause::CouldNot(deed, why) => format!("{}: {why}", deed.words()),
            Cause::StepFailed(index, how) => format!("step {index} after its end {}", how.words()),
            Cause::Up => "up".to_owned(),
            Cause::Ending(message::Ending::Reboot, why) => format!("shutting down (reboot): {why}"),
            Cause::Ending(message::Ending::PowerOff, why) => format!("shutting down (power off): {why}"),
            Cause::Noted(text) => text.clone(),
        }
    }
}

impl Failure {
    /// In words, `after` its start.
    pub fn words<'a>(&self, after: Duration, name: impl Fn(Place) -> &'a str) -> String {
        match self {
            Failure::NotPrepared(why) => format!("not started: {why}"),
            Failure::PreparesSlowly => "not started: preparing took too long".to_owned(),
            Failure::Step(index, how) => format!("not started: step {index} {}", how.words()),
            Failure::Main(how @ Ending::NotStarted(_)) => how.words(),
            Failure::Main(how) => format!("{} after {}", how.words(), seconds(after)),
            Failure::Stopped(reason) => format!("{} after {}", reason.words(name), seconds(after)),
        }
    }
}

impl Reason {
    /// In words.
    pub fn words<'a>(self, name: impl Fn(Place) -> &'a str) -> String {
        match self {
            Reason::Unwanted => "stopped: no longer wanted".to_owned(),
            Reason::Shutdown => "stopped: the machine ends".to_owned(),
            Reason::Restart => "stopped: restarted by an operator".to_owned(),
            Reason::Applied => "stopped: what it is called with has changed".to_owned(),
            Reason::StartTimeout => "killed by us: not ready in time".to_owned(),
            Reason::Liveness => "killed by us: it does not answer".to_owned(),
            Reason::OutOfMemory => "killed by us: out of memory".to_owned(),
            Reason::NeedLost(need) => format!("stopped: {} was lost", name(need)),
            Reason::NeedBack(need) => format!("stopped: {} is back", name(need)),
            Reason::NeedStops(need) => format!("stopped: {} is about to stop", name(need)),
        }
    }
}

impl Ending {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Ending::Status(status) => format!("exited with status {status}"),
            Ending::Signal(signal) => format!("killed by signal {signal}"),
            Ending::NotStarted(why) => format!("not started: {why}"),
        }
    }
}

impl Order {
    fn words(self) -> &'static str {
        match self {
            Order::Start => "an operator: start",
            Order::Stop => "an operator: stop",
            Order::Restart => "an operator: restart",
            Order::Reload => "an operator: reload",
            Order::Apply => "its overlay has changed",
            Order::Reset => "an operator: forget its failures",
            Order::Hold => "an operator: hold",
            Order::Release => "an operator: release",
            Order::Signal(_) => "an operator: signal",
        }
    }
}

impl Deed {
    fn words(self) -> &'static str {
        match self {
            Deed::Prepare => "making its group",
            Deed::Signal => "signalling it",
            Deed::Kill => "killing it",
            Deed::Remove => "removing its group",
        }
    }
}

/// A pause as people are told it: to the millisecond where hundredths of a second would round it away.
fn exactly(pause: Duration) -> String {
    if pause < Duration::from_secs(1) { format!("{} ms", pause.as_millis()) } else { seconds(pause) }
}

/// Seconds with as many places as matter: 0.25 s, 3.2 s, 30 s.
#[must_use]
pub fn seconds(time: Duration) -> String {
    let hundredths = time.as_millis().saturating_add(5).checked_div(10).unwrap_or(0);
    let (whole, rest) = (hundredths.checked_div(100).unwrap_or(0), hundredths.checked_rem(100).unwrap_or(0));
    let places = format!("{rest:02}");
    match places.trim_end_matches('0') {
        "" => format!("{whole} s"),
        places => format!("{whole}.{places} s"),
    }
}
