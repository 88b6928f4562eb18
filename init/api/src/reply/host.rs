//! Processes, mounts and disks, as the kernel shows them.
//!
//! What the kernel does not say is absent. Everything is read at the moment of the request.

use crate::wire;

wire! {
    /// Every process.
    pub struct Processes {
        /// By pid.
        pub processes: Vec<Process>,
    }

    /// A process.
    #[derive(Eq)]
    pub struct Process {
        /// Its id.
        pub pid: u32,
        /// Its parent's.
        pub parent: u32,
        /// Its user.
        pub user: u32,
        /// The kernel's letter: R, S, D, Z, …
        pub state: String,
        /// The service that it belongs to; a kernel thread belongs to none.
        pub service: Option<String>,
        /// Threads.
        pub threads: u32,
        /// Resident memory, shared pages included.
        pub resident_bytes: u64,
        /// Time on CPUs.
        pub cpu_ms: u64,
        /// When it was made, in milliseconds since boot.
        pub started_ms: u64,
        /// The kernel's short name for it.
        pub name: String,
        /// Its command line; empty for a kernel thread.
        pub command: String,
    }

    /// What is mounted.
    pub struct Mounts {
        /// In the kernel's order.
        pub mounts: Vec<Mount>,
    }

    /// A mount.
    #[derive(Eq)]
    pub struct Mount {
        /// What.
        pub source: String,
        /// Where.
        pub target: String,
        /// The kind of file system.
        pub kind: String,
        /// Its options.
        pub options: String,
        /// How large it is, where it has a size.
        pub size_bytes: Option<u64>,
        /// How much of that is left for services.
        pub available_bytes: Option<u64>,
    }

    /// All disks.
    pub struct Disks {
        /// By name.
        pub disks: Vec<Disk>,
    }

    /// A disk.
    #[derive(Eq)]
    pub struct Disk {
        /// Its name below /dev.
        pub name: String,
        /// Its size.
        pub size_bytes: u64,
        /// Whether it cannot be written.
        pub read_only: bool,
        /// What its maker calls it.
        pub model: Option<String>,
        /// What is built on it, such as `dm-0`.
        pub holders: Vec<String>,
        /// Its partitions.
        pub partitions: Vec<Partition>,
        /// Read since boot.
        pub read_bytes: u64,
        /// Written since boot.
        pub written_bytes: u64,
    }

    /// A partition.
    #[derive(Eq)]
    pub struct Partition {
        /// Its name below /dev.
        pub name: String,
        /// Its label in the partition table.
        pub label: Option<String>,
        /// Where it begins.
        pub start_bytes: u64,
        /// Its size.
        pub size_bytes: u64,
    }
}
