//! What PID 1 is asked and what it answers: typed, postcard, one packet each.
//!
//! For our own processes only (apid, probed, logd, agents), over a unix seqpacket socket; what
//! people and other machines see is the node API's. A packet that does not decode is answered
//! with a refusal and changes nothing. Numbers are milliseconds since boot where not said.

use std::fmt;

use machine_config::service::StopSignal;
use serde::{Deserialize, Serialize};

/// The longest packet, either way.
pub const PACKET_MAX: usize = 128 * 1024;
/// The most events that one answer holds.
pub const EVENTS_MAX: u16 = 512;

/// What PID 1 is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// All services, each whole.
    Services,
    /// Why a service is not ready, link by link.
    Explain(String),
    /// What happened since an event number.
    Events {
        /// The first number that is wanted.
        since: u64,
        /// At most so many, and never more than [`EVENTS_MAX`].
        most: u16,
    },
    /// PID 1 about itself.
    Own,
    /// Something is to be done.
    Do(Order),
    /// From logd: the reading ends of all log pipes come with the answer, in the table's order after PID 1's own.
    /// As long as the connection is open, PID 1 leaves reading to it.
    LogPipes,
    /// From the past agent: so often PID 1 has rebooted the machine in the last 24 hours.
    Rebooted(u8),
    /// The end of the machine comes on this connection as [`Answer::MachineEnds`], and is waited for as long as
    /// the connection is open and [`Request::ReadyToEnd`] has not come.
    HearOfEnd,
    /// What had to be done before the end is done.
    ReadyToEnd,
    /// From probed: from now on questions come on this connection as [`Answer::Ask`].
    Probing,
    /// From probed: how a question was answered.
    Probed {
        /// Its number.
        question: u64,
        /// How.
        finding: Finding,
    },
    /// From logd, to [`Answer::AreYouReading`]: it does.
    Reading,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Wanted up, with a fresh budget.
    Start(String),
    /// Wanted down; refused while others that would lose it are up, unless they may be stopped, too, and in any case
    /// for what works until the machine ends.
    Stop {
        /// Whom.
        service: String,
        /// Whether its dependents are stopped first.
        cascade: bool,
    },
    /// Stopped and started.
    Restart {
        /// Whom.
        service: String,
        /// Whether its dependents are, too.
        cascade: bool,
    },
    /// Takes up changed files.
    Reload(String),
    /// Restarted if its overlay is another than the one it was started with. For agents that take up a newer config
    /// while the machine runs (roadmap/ha.md): until then a config counts from the next boot on, and nobody asks.
    Apply(String),
    /// Forgets its failures; a pending pause is over.
    Reset(String),
    /// Stays as it is, whatever its needs and orders say, until it is released. What works until the machine ends is
    /// not held down.
    Hold(String),
    /// No longer held.
    Release(String),
    /// Sent a signal that its spec allows.
    Signal {
        /// Whom.
        service: String,
        /// Which.
        signal: StopSignal,
    },
    /// The machine ends.
    Shutdown {
        /// How.
        ending: Ending,
        /// Why, for the record.
        reason: String,
        /// Whether services have no more time to stop, not even those that are stopping already. Without it an order
        /// that is repeated changes nothing: whoever asks over a network asks again.
        now: bool,
    },
    /// PID 1 replaces itself by its own program and keeps everything.
    Reexec,
}

/// How a machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It starts again.
    Reboot,
    /// It is switched off.
    PowerOff,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::Reboot => "reboot",
            Ending::PowerOff => "power off",
        })
    }
}

/// What PID 1 answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Services`].
    Services(Vec<ServiceView>),
    /// To [`Request::Explain`]: one line per link, the service itself first.
    Explained(Vec<String>),
    /// To [`Request::Events`].
    Events {
        /// In order and without gaps.
        events: Vec<EventRecord>,
        /// The oldest number that is still kept.
        oldest: u64,
        /// The number that the next event will have.
        next: u64,
    },
    /// To [`Request::Own`].
    Own(Own),
    /// To [`Request::Do`]: it is being done, or was so already.
    Accepted {
        /// Whether anything changes by it.
        changes: bool,
        /// The number that the next event will have: what follows is at or after it.
        next_event: u64,
    },
    /// It is not done.
    Refused(String),
    /// To [`Request::HearOfEnd`], unasked: the machine is about to end like this.
    MachineEnds(Ending),
    /// To [`Request::LogPipes`].
    LogPipes {
        /// Whose pipes the descriptors are, with each one's limits.
        pipes: Vec<LogPipe>,
        /// Whether the machine is up.
        up: bool,
    },
    /// To probed, unasked: a question to be answered by [`Request::Probed`].
    Ask {
        /// Its number.
        question: u64,
        /// Its words: `http URL`, `https URL --ca FILE`, `tcp ADDR`, `unix PATH`, `file PATH`.
        words: Vec<String>,
        /// How long it may take.
        within: u32,
    },
    /// To probed, unasked: nobody waits for this answer any more.
    Forget(u64),
    /// To logd, unasked: something lies in a pipe and has done so for a while. Answered by [`Request::Reading`].
    AreYouReading,
}

/// How a question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// Yes.
    Good,
    /// No, or not in time.
    Bad,
    /// It could not be asked.
    CouldNotAsk,
}

/// A service as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Whether it is wanted.
    pub wanted: bool,
    /// Its state.
    pub state: StateName,
    /// Since when.
    pub since: u64,
    /// Its main process.
    pub pid: Option<i32>,
    /// How often it was started since boot.
    pub starts: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Whether it is held.
    pub held: bool,
    /// How it last ended, in words.
    pub last_end: Option<String>,
    /// What it last said of itself (`STATUS=`).
    pub status: Option<String>,
    /// When it last went through each of its first steps.
    pub stamps: Stamps,
    /// An alarm that a person should look at.
    pub alarm: Option<String>,
    /// Whether it has failed so often lately that the node does not do its work.
    pub degrades_node: bool,
    /// Whether the machine is up only with it.
    pub milestone: bool,
    /// How often a question to it could not be asked.
    pub could_not_ask: u32,
}

/// When the steps of a service's latest start were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// It was wanted.
    pub wanted: Option<u64>,
    /// What it needs was there.
    pub met: Option<u64>,
    /// Its group was made.
    pub prepared: Option<u64>,
    /// What runs before it had run, and its own process was wanted.
    pub started: Option<u64>,
    /// That process runs its program.
    pub executed: Option<u64>,
    /// It was ready or done.
    pub ready: Option<u64>,
}

/// The states of supervision (reference/supervisors.md 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StateName {
    /// Down, and wanted down.
    Off,
    /// Waits for what it needs.
    Waiting,
    /// A need has failed for good.
    Blocked,
    /// Its group and what runs before it are being made.
    Preparing,
    /// Started, not ready.
    Starting,
    /// Ready.
    Ready,
    /// Ready once, but its probe says no.
    Degraded,
    /// Takes up changed files.
    Reloading,
    /// Failed, and tried again after a pause.
    Backoff,
    /// Was asked to end.
    Stopping,
    /// Was killed.
    Killing,
    /// Has ended; what runs after it and what is left of it.
    Cleaning,
    /// Cannot be killed.
    Stuck,
    /// A task given up, or a service that said trying is of no use.
    Failed,
    /// A task that is done.
    Done,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Gap-free from 1 at boot.
    pub number: u64,
    /// When.
    pub at: u64,
    /// To whom; the machine itself without it.
    pub service: Option<String>,
    /// What: a change of state, or none.
    pub change: Option<(StateName, StateName)>,
    /// Why, in words.
    pub cause: String,
}

/// PID 1 about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// When the machine came up, once it is.
    pub up: Option<u64>,
    /// When PID 1 began.
    pub began: u64,
    /// Turns of its loop.
    pub turns: u64,
    /// The longest turn, in microseconds, and what it took in all.
    pub longest_turn_us: u64,
    /// Turns that took more than 50 ms, which none is to.
    pub slow_turns: u64,
    /// All turns, in microseconds.
    pub busy_us: u64,
    /// Processes that it reaped.
    pub reaped: u64,
    /// How often it replaced itself.
    pub reexecs: u32,
    /// How often it recovered from a fault of its own.
    pub recoveries: u32,
    /// Bytes of logs that it dropped while logd was away.
    pub log_bytes_dropped: u64,
    /// Whether the machine is on its way down.
    pub ending: Option<Ending>,
}

/// Whose pipe a descriptor is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPipe {
    /// A service's name, or `init`.
    pub service: String,
    /// Lines per second in the long run.
    pub lines_per_second: u32,
    /// Lines at once.
    pub burst: u32,
    /// What is kept on disk, in MiB.
    pub disk_mib: u16,
}
