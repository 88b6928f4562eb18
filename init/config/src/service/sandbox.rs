//! What a service may do beyond using memory and time.
//!
//! The defaults take away what hardly any daemon needs; a service that runs other people's
//! containers says `privileged = true` and gets everything. `node-sys` applies this between
//! clone and exec.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a service may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Sandbox {
    /// No fence at all: for containerd and the kubelet. Excludes every other field.
    pub privileged: bool,
    /// Capabilities that stay in its bounding set; without root, also ambient.
    pub capabilities: BTreeSet<Capability>,
    /// Whether set-user-id programs may give it more.
    pub new_privileges: bool,
    /// System calls that it may make beside those that every service may.
    pub system_calls: BTreeSet<SystemCalls>,
    /// Whether /tmp is its own: 64 MiB and 16384 files at most.
    pub private_tmp: bool,
    /// Directories it may write to; everything else is read-only but /dev, /proc, /sys and its /tmp.
    /// Without any, nothing is remounted: the root is read-only by itself.
    pub writable: BTreeSet<String>,
    /// Directories it does not see.
    pub hidden: BTreeSet<String>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            privileged: false,
            capabilities: BTreeSet::new(),
            new_privileges: false,
            system_calls: BTreeSet::new(),
            private_tmp: true,
            writable: BTreeSet::new(),
            hidden: BTreeSet::new(),
        }
    }
}

/// System calls that change one thing of the machine, by what they change. What else would change it (reboot, kexec,
/// modules, swap, keyrings, bpf, tracing), make a namespace, or go past the filter (io_uring) is nobody's but of who is
/// privileged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemCalls {
    /// The clock: for who asks others for the time.
    Clock,
    /// The machine's name: for who knows it.
    HostName,
    /// Mounts: for who makes file systems.
    Mounts,
}

impl SystemCalls {
    /// The capability without which the kernel refuses them.
    #[must_use]
    pub fn capability(self) -> Capability {
        match self {
            Self::Clock => Capability::SysTime,
            Self::HostName | Self::Mounts => Capability::SysAdmin,
        }
    }
}

macro_rules! capabilities {
    ($($name:ident = $number:literal),* $(,)?) => {
        /// A Linux capability, by its name without `CAP_`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs, reason = "named by capabilities(7)")]
        pub enum Capability { $($name = $number),* }

        impl Capability {
            /// All of them, in the kernel's order.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

capabilities!(
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetBroadcast = 11,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    IpcOwner = 15,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    SysTtyConfig = 26,
    Mknod = 27,
    Lease = 28,
    AuditWrite = 29,
    AuditControl = 30,
    Setfcap = 31,
    MacOverride = 32,
    MacAdmin = 33,
    Syslog = 34,
    WakeAlarm = 35,
    BlockSuspend = 36,
    AuditRead = 37,
    Perfmon = 38,
    Bpf = 39,
    CheckpointRestore = 40,
);

impl Capability {
    /// The kernel's number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}
