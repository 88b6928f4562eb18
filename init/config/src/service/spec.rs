//! A service as it is written: `profiles/services/NAME.toml`.
//!
//! Every field has a default that suits a daemon which the cluster can live without for a
//! minute. Names are not resolved here and nothing is checked against other services: that
//! is `layout`'s. Figures and meanings follow reference/supervisors.md section 5.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::access::{DirectoryMode, Group};
use super::sandbox::Sandbox;
use crate::name::ServiceName;
use crate::span::Span;

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceSpec {
    /// Its name; the file's name too.
    pub name: ServiceName,
    /// One line for people.
    pub description: String,
    /// Program (absolute path) and fixed arguments; an overlay may add more at boot.
    pub exec: Vec<String>,
    /// Whether it is called by what the cluster's config decides: without its overlay it is not started.
    #[serde(default)]
    pub configured: bool,
    /// Services that must be ready, or done, at the moment that this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<EdgeSpec>,
    /// Services that must have been ready once since boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milestones: Vec<EdgeSpec>,
    /// Services that are started, too, and waited for until they are ready, have failed or are late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<EdgeSpec>,
    /// Services that this one comes after, if they are started at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<EdgeSpec>,
    /// The earliest moment that it starts at, whatever it needs.
    #[serde(default)]
    pub start: Start,
    /// Whether the machine counts as up only once this one is ready.
    #[serde(default = "yes")]
    pub milestone: bool,
    /// Whether it works for the machine's end, too: then it is stopped only once everything else has, and by no order
    /// before.
    #[serde(default)]
    pub until_end: bool,
    /// What its failing means for the machine.
    #[serde(default)]
    pub class: Class,
    /// How it shows that it is ready.
    pub ready: ReadySpec,
    /// How long it may take to be ready.
    #[serde(default)]
    pub start_timeout: StartTimeout,
    /// How it shows that it is alive; nobody asks without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<LivenessSpec>,
    /// How it takes up changed files without ending; it cannot without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<ReloadSpec>,
    /// When and how often it is started again.
    #[serde(default)]
    pub restart: Restart,
    /// Run before each start, one after the other; none may fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before_start: Vec<Vec<String>>,
    /// Run after each end, whatever they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after_stop: Vec<Vec<String>>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: StopSpec,
    /// Signals that an operator may send.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signals: BTreeSet<StopSignal>,
    /// Its environment, whole: nothing is inherited but PATH.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// User and group it runs as; root without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// Why it cannot have a user of its own. The builder wants one or the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_because: Option<String>,
    /// Groups that it is in beside its own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<Group>,
    /// Directories that are made for it, and are its own: below /run, /state and /var. One below /sys is handed over
    /// if it is there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<String, DirectoryMode>,
    /// How dear it is to the OOM killer, -1000..=1000.
    #[serde(default)]
    pub oom_score_adjust: i16,
    /// What happens to the service when the kernel kills one of its processes for memory.
    #[serde(default)]
    pub oom_policy: OomPolicy,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// What it may do.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// How much it may say.
    #[serde(default)]
    pub log: LogSpec,
}

fn yes() -> bool {
    true
}

/// A need: a name, or a name with what its loss means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "EdgeText", into = "EdgeText")]
pub struct EdgeSpec {
    /// Whom.
    pub service: ServiceName,
    /// What happens to this service when that one is lost.
    pub on_loss: OnLoss,
    /// How long a wanted service is waited for; nothing to any other need.
    pub within: Option<Span>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum EdgeText {
    Name(ServiceName),
    Whole(WholeEdge),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WholeEdge {
    service: ServiceName,
    #[serde(default)]
    on_loss: OnLoss,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Span>,
}

impl From<EdgeText> for EdgeSpec {
    fn from(text: EdgeText) -> Self {
        match text {
            EdgeText::Name(service) => Self { service, on_loss: OnLoss::Keep, within: None },
            EdgeText::Whole(WholeEdge { service, on_loss, within }) => Self { service, on_loss, within },
        }
    }
}

impl From<EdgeSpec> for EdgeText {
    fn from(edge: EdgeSpec) -> Self {
        match edge {
            EdgeSpec { service, on_loss: OnLoss::Keep, within: None } => Self::Name(service),
            EdgeSpec { service, on_loss, within } => Self::Whole(WholeEdge { service, on_loss, within }),
        }
    }
}

/// What the loss of a need means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// Nothing: the dependent copes, or ends by itself.
    #[default]
    Keep,
    /// The dependent is stopped, and started again with its need.
    Stop,
    /// The dependent is restarted once its need is back.
    Restart,
}

/// The earliest moment at which a service starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// As soon as everything it needs is there.
    #[default]
    WhileBooting,
    /// Only when the machine is up: it looks at the machine, and nothing waits for it.
    WhenUp,
    /// Only when another wants it, or an operator.
    OnDemand,
}

/// What a service's failing means for the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The machine does without it for a while: pauses between starts grow to five minutes.
    #[default]
    Ordinary,
    /// The machine does its work through it: pauses grow to one minute. Never a reason to reboot.
    Critical,
    /// No pod runs without it: as critical, and in the end a reason to reboot.
    Node,
}

/// How a service shows that it is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", deny_unknown_fields, rename_all = "kebab-case")]
pub enum ReadySpec {
    /// It is a task: it runs once, is done when it exits with 0 and tried again when it fails.
    Exit {},
    /// Its program was executed.
    Exec {},
    /// It sends `READY=1` to `$NOTIFY_SOCKET` (sd_notify's protocol).
    Notify {},
    /// It writes a line to this descriptor (s6's protocol).
    Descriptor {
        /// 3 or more.
        number: u8,
    },
    /// A question to it is answered: `http URL`, `https URL --ca FILE`, `tcp ADDR`, `unix PATH`, `file PATH`.
    Probe {
        /// The words of the question.
        ask: Vec<String>,
        /// Between two questions once it is ready; before that the next one follows 50 ms after an answer.
        #[serde(default = "every_five_seconds")]
        every: Span,
    },
}

fn every_five_seconds() -> Span {
    Span::from_secs(5)
}

/// How long a start may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum StartTimeout {
    /// So long; then it is stopped and started again.
    After(Span),
    /// As long as it takes, with an alarm after 90 s: `"none"`. For services whose start hangs on somebody else: a
    /// quorum, a server, a person, a disk.
    Never(NoTimeout),
}

/// The word `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoTimeout {
    /// It is never late.
    None,
}

impl Default for StartTimeout {
    fn default() -> Self {
        Self::After(Span::from_secs(90))
    }
}

/// How a service shows that it is alive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LivenessSpec {
    /// The words of a question, as for readiness; without them it sends `WATCHDOG=1` within `every`.
    #[serde(default)]
    pub ask: Option<Vec<String>>,
    /// Between two questions.
    #[serde(default = "every_ten_seconds")]
    pub every: Span,
    /// How many in a row may go unanswered.
    #[serde(default = "six")]
    pub failures: u8,
}

fn every_ten_seconds() -> Span {
    Span::from_secs(10)
}

fn six() -> u8 {
    6
}

/// How a service takes up changed files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", deny_unknown_fields, rename_all = "kebab-case")]
pub enum ReloadSpec {
    /// It is sent a signal.
    Signal {
        /// Which.
        signal: StopSignal,
    },
    /// A command is run.
    Command {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// When and how often a service is started again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Restart {
    /// The pause after the first failure; each further one doubles it.
    pub pause: Span,
    /// The longest pause; by the service's class without it.
    pub longest_pause: Option<Span>,
    /// Statuses by which it says that trying again is of no use.
    pub permanent_exits: BTreeSet<u8>,
    /// How often a task is tried; for ever without it.
    pub attempts: Option<u16>,
    /// What counts as its end.
    pub exit: ExitRule,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            pause: Span::from_millis(250),
            longest_pause: None,
            permanent_exits: BTreeSet::from([125]),
            attempts: None,
            exit: ExitRule::Main,
        }
    }
}

/// What counts as a service's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitRule {
    /// Its main process ended; what is left of it is killed.
    #[default]
    Main,
    /// Its last process ended.
    Last,
}

/// How a service is stopped: its main process is sent the signal, and when that has ended, whoever is left of the
/// service is sent it, too. So a master has its workers end in its own order, and a helper that nobody told has what is
/// left of the time. Whoever is there at the end of it is killed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StopSpec {
    /// What asks it to end.
    pub signal: StopSignal,
    /// From there to SIGKILL.
    pub timeout: Span,
    /// What ends with it when it is stopped or has died.
    pub kill: KillScope,
}

impl Default for StopSpec {
    fn default() -> Self {
        Self { signal: StopSignal::Term, timeout: Span::from_secs(10), kill: KillScope::Cgroup }
    }
}

/// A signal that a service is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGHUP.
    Hup,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1: haproxy's soft stop.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGKILL.
    Kill,
}

/// What ends with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillScope {
    /// Everything in its cgroup: nothing survives it.
    Cgroup,
    /// Its main process only, which alone is signalled: containerd's shims, and so the pods, live on.
    Process,
}

/// What a kill for memory means to a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OomPolicy {
    /// All of it dies at once: half a service is worth nothing.
    #[default]
    Kill,
    /// One process dies; the service is asked to stop and started again.
    Stop,
    /// One process dies, and the service lives on: its children are others' work.
    Continue,
}

/// What a service may use; what is absent is not limited, but for `pids-max`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// cgroup `memory.max`, in MiB.
    pub memory_max_mib: Option<u32>,
    /// cgroup `memory.high`, in MiB.
    pub memory_high_mib: Option<u32>,
    /// cgroup `memory.low`, in MiB: what is not taken from it while others have more.
    pub memory_low_mib: Option<u32>,
    /// cgroup `cpu.weight`, 1..=10000; 100 when absent.
    pub cpu_weight: Option<u16>,
    /// cgroup `cpu.max`, in percent of one CPU.
    pub cpu_max_percent: Option<u32>,
    /// cgroup `pids.max`; 4096 when absent, and none for who is privileged.
    pub pids_max: Option<u32>,
    /// cgroup `io.max` of the machine's disk.
    pub io_max: Option<IoMax>,
    /// RLIMIT_NOFILE, soft and hard.
    pub open_files: Option<u32>,
}

/// The most that a service may ask of the machine's disk, the one that /var is on, per second; a service with it starts
/// only once that is mounted. There are no weights: our kernels have no scheduler that would go by them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct IoMax {
    /// MiB read.
    pub read_mib: Option<NonZeroU32>,
    /// MiB written.
    pub write_mib: Option<NonZeroU32>,
    /// Reads.
    pub reads: Option<NonZeroU32>,
    /// Writes.
    pub writes: Option<NonZeroU32>,
}

/// How much a service may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogSpec {
    /// Lines per second in the long run; what is above is dropped and counted.
    pub lines_per_second: u32,
    /// Lines at once.
    pub burst: u32,
    /// What is kept on disk, in MiB.
    pub disk_mib: u16,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { lines_per_second: 10_000, burst: 50_000, disk_mib: 16 }
    }
}
