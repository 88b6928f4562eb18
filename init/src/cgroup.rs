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

use machine_config::service::{KillScope, Limits};

/// Where the hierarchy is mounted.
pub const ROOT: &str = "/sys/fs/cgroup";
/// The group of PID 1 itself: a group with controllers for its children may hold no processes.
pub const SELF: &str = "/sys/fs/cgroup/init";
/// The group that holds the services' groups.
pub const SERVICES: &str = "/sys/fs/cgroup/slipway";

/// The controllers that children get: all of `available` (the content of cgroup.controllers).
#[must_use]
pub fn delegation(available: &str) -> String {
    available.split_whitespace().map(|controller| format!("+{controller}")).collect::<Vec<_>>().join(" ")
}

/// The files of a service's group and what is written into each.
#[must_use]
pub fn settings(limits: &Limits, scope: KillScope) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        (
            "memory.max",
            limits.memory_max_mib.map_or("max".to_owned(), |mib| mib.saturating_mul(1 << 20).to_string()),
        ),
        ("cpu.weight", limits.cpu_weight.unwrap_or(100).to_string()),
        ("pids.max", limits.pids_max.map_or("max".to_owned(), |most| most.to_string())),
    ];
    // Half a service is worth nothing, unless its children are others' work: then one dies alone.
    let whole = match scope {
        KillScope::Cgroup => "1",
        KillScope::Process => "0",
    };
    settings.push(("memory.oom.group", whole.to_owned()));
    settings
}

/// Whether the content of cgroup.events says that nobody is in the group.
#[must_use]
pub fn is_empty(events: &str) -> bool {
    events.lines().any(|line| line == "populated 0")
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
    fn limits_are_written_in_the_kernels_units() {
        let limits = Limits { memory_max_mib: Some(64), pids_max: Some(10), ..Limits::default() };
        let settings = settings(&limits, KillScope::Process);
        assert!(settings.contains(&("memory.max", "67108864".to_owned())));
        assert!(settings.contains(&("pids.max", "10".to_owned())));
        assert!(settings.contains(&("cpu.weight", "100".to_owned())));
        assert!(settings.contains(&("memory.oom.group", "0".to_owned())));
    }

    #[test]
    fn a_group_is_empty_when_the_kernel_says_so() {
        assert!(is_empty("populated 0\nfrozen 0\n"));
        assert!(!is_empty("populated 1\nfrozen 0\n"));
    }
}
