//! Services as they are seen from outside.
//!
//! The words of the states are those of PID 1; what they mean is said here once more, because this is what people
//! read. Which service may go from where to where is PID 1's business.

use crate::wire;

wire! {
    /// All services of a machine.
    pub struct Services {
        /// In the order of the image's table.
        pub services: Vec<Service>,
    }

    /// A service as it is now.
    pub struct Service {
        /// Its name.
        pub name: String,
        /// One line for people.
        pub description: String,
        /// Whether it is wanted up.
        pub wanted: bool,
        /// Whether an operator holds it as it is.
        pub held: bool,
        /// Whether the machine counts as up only with it.
        pub milestone: bool,
        /// Its state.
        pub state: State,
        /// Since when.
        pub since_ms: u64,
        /// Its main process.
        pub pid: Option<i32>,
        /// How often it was started since boot.
        pub starts: u32,
        /// Failures in a row.
        pub failures: u32,
        /// How often a probe of it could not be made.
        pub could_not_ask: u32,
        /// How it last ended, in words.
        pub last_end: Option<String>,
        /// What it last said of itself.
        pub status: Option<String>,
        /// What a person should look at.
        pub alarm: Option<String>,
        /// Whether it has failed so often in the last ten minutes that the node does not do its work, ready or not.
        #[serde(default)]
        pub degrades_node: bool,
        /// The steps of its latest start.
        pub stamps: Stamps,
        /// What it uses, while its control group is there.
        pub usage: Option<Usage>,
    }

    /// When the steps of a start were taken, in milliseconds since boot.
    #[derive(Copy, Default, Eq)]
    pub struct Stamps {
        /// It was wanted.
        pub wanted_ms: Option<u64>,
        /// What it needs was there.
        pub met_ms: Option<u64>,
        /// Its control group was made.
        pub prepared_ms: Option<u64>,
        /// What runs before it had run, and its own process was wanted.
        pub started_ms: Option<u64>,
        /// That process runs its program.
        pub executed_ms: Option<u64>,
        /// It was ready, or done.
        pub ready_ms: Option<u64>,
    }

    /// What a service's control group has used and uses.
    #[derive(Copy, Default, Eq)]
    pub struct Usage {
        /// Time on CPUs since its group was made.
        pub cpu_us: u64,
        /// Memory now, caches included.
        pub memory_bytes: u64,
        /// The most it ever was.
        pub memory_peak_bytes: Option<u64>,
        /// Read from disks.
        pub read_bytes: u64,
        /// Written to disks.
        pub written_bytes: u64,
        /// Processes and threads.
        pub tasks: u64,
        /// How often the kernel killed one of its processes for memory.
        pub oom_kills: u64,
    }

    /// The states of supervision.
    #[derive(Copy, Eq, PartialOrd, Ord, Hash)]
    pub enum State {
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
        /// Has ended; what runs after it runs.
        Cleaning,
        /// Cannot be killed.
        Stuck,
        /// Given up.
        Failed,
        /// A task that is done.
        Done,
    }

    /// Why a service is not ready.
    pub struct Explanation {
        /// Whom it is about.
        pub service: String,
        /// One line per link, the service itself first.
        pub lines: Vec<String>,
    }

    /// It is being done, or was so already.
    #[derive(Copy, Eq)]
    pub struct Accepted {
        /// Whether anything changes by it.
        pub changes: bool,
        /// What follows from it has this number or a later one.
        pub next_event: u64,
    }
}

impl State {
    /// All of them, in the order of a service's life.
    pub const ALL: [Self; 15] = [
        Self::Off,
        Self::Waiting,
        Self::Blocked,
        Self::Preparing,
        Self::Starting,
        Self::Ready,
        Self::Degraded,
        Self::Reloading,
        Self::Backoff,
        Self::Stopping,
        Self::Killing,
        Self::Cleaning,
        Self::Stuck,
        Self::Failed,
        Self::Done,
    ];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Reloading => "reloading",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Killing => "killing",
            Self::Cleaning => "cleaning",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    /// Whether a service that is wanted is as it should be.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Ready | Self::Reloading | Self::Done)
    }

    /// Whether somebody should look.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Blocked | Self::Degraded | Self::Backoff | Self::Stuck | Self::Failed)
    }
}
