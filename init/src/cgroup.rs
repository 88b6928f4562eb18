//! Control groups: what a service's limits are in the kernel's files, and where its group is.
//!
//! Every service has a group of its own below [`SERVICES`]; the kubelet's pods have theirs
//! beside it. Pure: texts and paths. `service::runner` and `boot` write them.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use std::num::NonZeroU32;

use machine_config::service::{IoMax, Limits, OomPolicy};

/// Where the hierarchy is mounted.
pub const ROOT: &str = "/sys/fs/cgroup";
/// The group of PID 1 itself where the root is not the hierarchy's: a group with controllers for its children
/// may hold no processes then.
pub const SELF: &str = "/sys/fs/cgroup/init";
/// The group that holds the services' groups.
pub const SERVICES: &str = "/sys/fs/cgroup/slipway";

/// The controllers that children get: all of `available` (the content of cgroup.controllers).
#[must_use]
pub fn delegation(available: &str) -> String {
    available.split_whitespace().map(|controller| format!("+{controller}")).collect::<Vec<_>>().join(" ")
}

/// The files that are written for every service; a kernel may have no such controller.
pub const BY_DEFAULT: [&str; 2] = ["pids.max", "memory.oom.group"];

/// The files of a service's group and what is written into each; what is not limited is not written. `disk` is the
/// number of the disk that `io-max` is about.
#[must_use]
pub fn settings(limits: &Limits, oom: OomPolicy, disk: &str) -> Vec<(&'static str, String)> {
    let mib = |mib: u32| u64::from(mib).saturating_mul(1 << 20).to_string();
    // The kernel's default period of 100 ms: one percent of a CPU is one of its milliseconds.
    let quota = |percent: u32| format!("{} 100000", u64::from(percent).saturating_mul(1000));
    let wanted = [
        ("memory.max", limits.memory_max_mib.map(mib)),
        ("memory.high", limits.memory_high_mib.map(mib)),
        ("memory.low", limits.memory_low_mib.map(mib)),
        ("cpu.weight", limits.cpu_weight.map(|weight| weight.to_string())),
        ("cpu.max", limits.cpu_max_percent.map(quota)),
        ("pids.max", limits.pids_max.map(|most| most.to_string())),
        ("io.max", limits.io_max.as_ref().map(|most| io_max(most, disk))),
        ("memory.oom.group", (oom == OomPolicy::Kill).then(|| "1".to_owned())),
    ];
    wanted.into_iter().filter_map(|(file, value)| Some((file, value?))).collect()
}

fn io_max(most: &IoMax, disk: &str) -> String {
    let mib = |mib: NonZeroU32| u64::from(mib.get()).saturating_mul(1 << 20);
    let count = |count: NonZeroU32| u64::from(count.get());
    let wanted = [
        ("rbps", most.read_mib.map(mib)),
        ("wbps", most.write_mib.map(mib)),
        ("riops", most.reads.map(count)),
        ("wiops", most.writes.map(count)),
    ];
    let wanted = wanted.into_iter().filter_map(|(word, most)| Some(format!(" {word}={}", most?)));
    std::iter::once(disk.to_owned()).chain(wanted).collect()
}

/// Whether the content of cgroup.events says that nobody is in the group.
#[must_use]
pub fn is_empty(events: &str) -> bool {
    events.lines().any(|line| line == "populated 0")
}

/// How often the kernel has killed a process of the group for memory: from memory.events.
#[must_use]
pub fn oom_kills(events: &str) -> u64 {
    let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Whose group a process is in, from its /proc/PID/cgroup: a service's name, if it is one's.
#[must_use]
pub fn service(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = path.strip_prefix(SERVICES.strip_prefix(ROOT)?)?.strip_prefix('/')?;
    below.split('/').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_controller_is_handed_on() {
        assert_eq!(delegation("cpuset cpu io memory pids\n"), "+cpuset +cpu +io +memory +pids");
        assert_eq!(delegation(""), "");
    }

    #[test]
    fn limits_are_written_in_the_kernels_units_and_nothing_else_is() {
        let io_max = IoMax { write_mib: NonZeroU32::new(2), reads: NonZeroU32::new(300), ..IoMax::default() };
        let limits = Limits {
            memory_max_mib: Some(64),
            cpu_max_percent: Some(150),
            io_max: Some(io_max),
            ..Limits::default()
        };
        let expected = [
            ("memory.max", "67108864"),
            ("cpu.max", "150000 100000"),
            ("io.max", "254:0 wbps=2097152 riops=300"),
            ("memory.oom.group", "1"),
        ];
        assert_eq!(
            settings(&limits, OomPolicy::Kill, "254:0"),
            expected.map(|(file, value)| (file, value.to_owned()))
        );
        assert!(settings(&Limits::default(), OomPolicy::Continue, "").is_empty());
    }

    #[test]
    fn a_process_belongs_to_the_service_whose_group_it_is_in() {
        assert_eq!(service("0::/slipway/etcd\n"), Some("etcd"));
        assert_eq!(service("0::/slipway/kubelet/own/deep\n"), Some("kubelet"));
        for other in
            ["0::/init\n", "0::/slipway\n", "0::/slipway-x/etcd", "0::/kubepods/pod1", "", "1:cpu:/slipway/x"]
        {
            assert_eq!(service(other), None, "{other:?}");
        }
    }

    #[test]
    fn kills_for_memory_are_counted_by_the_kernel() {
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 1\n"), 2);
        assert_eq!(oom_kills(""), 0);
    }

    #[test]
    fn a_group_is_empty_when_the_kernel_says_so() {
        assert!(is_empty("populated 0\nfrozen 0\n"));
        assert!(!is_empty("populated 1\nfrozen 0\n"));
    }
}
