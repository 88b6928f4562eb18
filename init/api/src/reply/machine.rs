//! The machine as a whole: what runs on it, and how it is.
//!
//! `Status` is what a person looks at first, so it holds what is wrong in words and the counts of what is right.
//! Single services, and the boot, have documents of their own.

use crate::wire;

wire! {
    /// What runs on a machine.
    #[derive(Eq)]
    pub struct Version {
        /// The version of the API, `v1`.
        pub api: String,
        /// That of Slipway.
        pub slipway: String,
        /// The kernel's.
        pub kernel: String,
        /// The role of the image.
        pub role: String,
        /// When the image was made (RFC 3339), if it says so.
        pub built: Option<String>,
        /// The machine's name, once it has a config.
        pub machine: Option<String>,
        /// Its cluster.
        pub cluster: Option<String>,
    }

    /// How a machine is.
    pub struct Status {
        /// Its name.
        pub machine: String,
        /// Its role.
        pub role: String,
        /// How far it is.
        pub stage: Stage,
        /// Its clock (RFC 3339).
        pub time: String,
        /// Since when it runs.
        pub uptime_ms: u64,
        /// When it was up, once it was.
        pub up_ms: Option<u64>,
        /// Services that are wanted.
        pub services_wanted: u32,
        /// Those of them that are as they should be.
        pub services_good: u32,
        /// Those that are not, by name.
        pub waiting_for: Vec<String>,
        /// What a person should look at, the gravest first.
        pub alarms: Vec<Alarm>,
        /// Services that have failed so often in the last ten minutes that the node does not do its work.
        #[serde(default)]
        pub degraded_by: Vec<String>,
        /// Memory.
        pub memory: Memory,
        /// Processes that ran or wanted to, over 1, 5 and 15 minutes.
        pub load: [f64; 3],
        /// What time was lost waiting; none where the kernel does not count it.
        pub pressure: Vec<Pressure>,
        /// The config in force.
        pub config_serial: Option<u64>,
        /// The number that the next event will have.
        pub next_event: u64,
    }

    /// How far a machine is.
    #[derive(Copy, Eq)]
    pub enum Stage {
        /// Not everything that it is for is ready yet.
        Booting,
        /// It was, once.
        Up,
        /// On its way down, to come back.
        Rebooting,
        /// On its way down.
        ShuttingDown,
    }

    /// What a person should look at.
    #[derive(Eq)]
    pub struct Alarm {
        /// Whose.
        pub service: String,
        /// What.
        pub text: String,
    }

    /// A machine's memory.
    #[derive(Copy, Default, Eq)]
    pub struct Memory {
        /// All of it.
        pub total_bytes: u64,
        /// What could be had without swapping.
        pub available_bytes: u64,
    }

    /// Time lost waiting for one resource.
    pub struct Pressure {
        /// `cpu`, `memory` or `io`.
        pub resource: String,
        /// Percent of the last ten seconds in which some task waited.
        pub some_percent: f64,
        /// Percent in which all did.
        pub full_percent: f64,
        /// All time in which some waited.
        pub some_us: u64,
        /// All time in which all did.
        pub full_us: u64,
    }
}
