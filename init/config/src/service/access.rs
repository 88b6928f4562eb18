//! Whose files are whose: groups that a service is in beside its own, and directories made for it.
//!
//! A group is an audience: who may ask PID 1, read the log, read a kind of key. A directory is made
//! before anything runs, by PID 1 on /run and by the storage agent on /state and /var, and given to
//! the service's user, so that nobody has to be root to have a place to write.

use serde::{Deserialize, Serialize};

macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal),* $(,)?) => {
        /// A group, by the name it has in /etc/group.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Group { $($(#[$doc])* #[serde(rename = $word)] $name),* }

        impl Group {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its number. Users' own numbers are below all of these.
            #[must_use]
            pub fn number(self) -> u32 {
                match self { $(Self::$name => $number),* }
            }

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

groups!(
    /// Asks PID 1 on its control socket.
    Control = 950 "control",
    /// Reads what services print.
    Logs = 951 "logs",
    /// Reads the machine's config with its secrets.
    Config = 952 "config",
    /// Writes to the console.
    Console = 953 "console",
    /// Reads the key of the node API.
    ApiKeys = 960 "api-keys",
    /// Reads etcd's keys.
    EtcdKeys = 961 "etcd-keys",
    /// Reads the key by which etcd lets control planes in.
    EtcdClientKeys = 962 "etcd-client-keys",
    /// Reads the API server's keys.
    ApiserverKeys = 963 "apiserver-keys",
    /// Reads the controller manager's keys, the cluster's authority among them.
    ControllerKeys = 964 "controller-keys",
    /// Reads the scheduler's keys.
    SchedulerKeys = 965 "scheduler-keys",
    /// Reads the key that signs service accounts' tokens.
    ServiceAccountKeys = 966 "service-account-keys",
    /// Reads the cluster agent's key.
    ClusterKeys = 967 "cluster-keys",
    /// Reads the token by which a node joins.
    NodeKeys = 968 "node-keys",
);

/// Who may look into a directory that is made for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryMode {
    /// The service alone.
    Private,
    /// Everybody; only the service writes.
    Readable,
}

impl DirectoryMode {
    /// As chmod(2) has it.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Private => 0o700,
            Self::Readable => 0o755,
        }
    }
}

/// Where a directory may be made for a service; on /sys it is only handed over, if it is there.
pub(super) const DIRECTORY_ROOTS: [&str; 4] = ["/run/", "/state/", "/var/", "/sys/"];

/// Whether `path` is one that [`DIRECTORY_ROOTS`] allow: absolute, without empty words, `.` and `..`.
pub(super) fn is_directory_path(path: &str) -> bool {
    let words = path.strip_prefix('/').unwrap_or("");
    DIRECTORY_ROOTS.iter().any(|root| path.starts_with(root))
        && words.split('/').all(|word| !matches!(word, "" | "." | "..") && !word.contains('\0'))
}
