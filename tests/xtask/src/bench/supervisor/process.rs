//! What the kernel tells of processes and their groups, as the host sees them.
//!
//! Memory, CPU time and switches out of /proc, CPU time and members of cgroup v2 groups. Texts to
//! figures is pure; a process that is gone has none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// A process of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(pub i32);

impl Process {
    fn read(self, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).ok()
    }

    /// Whether it is one of the services that are supervised, by its program.
    pub fn is_service(self) -> bool {
        fs::read_link(format!("/proc/{}/exe", self.0)).is_ok_and(|exe| exe.ends_with("bench/stamp"))
    }

    /// Its proportional share of memory, in KiB.
    pub fn pss(self) -> Option<u64> {
        field(&self.read("smaps_rollup")?, "Pss:")
    }

    /// Its pid in its own namespace.
    pub fn inner(self) -> Option<u32> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_whitespace().next_back()?.parse().ok()
    }

    /// The CPU time that it took itself.
    pub fn cpu(self) -> Option<Duration> {
        // schedstat is exact where utime counts ticks; it is the first thread's alone.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).ok()?;
        let nanos = tasks.flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Some(Duration::from_nanos(nanos.sum()))
    }

    /// How often it stopped running, by itself or not.
    pub fn switches(self) -> Option<u64> {
        let status = self.read("status")?;
        Some(field(&status, "voluntary_ctxt_switches:")? + field(&status, "nonvoluntary_ctxt_switches:")?)
    }

    /// Its name.
    pub fn name(self) -> String {
        self.read("comm").unwrap_or_default().trim().to_owned()
    }

    /// Its parent, if it is a zombie.
    pub fn zombie_of(self) -> Option<i32> {
        zombie_of(&self.read("stat")?)
    }
}

/// Every process there is.
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Process)).collect()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The name in the middle may hold anything, parentheses too.
fn zombie_of(stat: &str) -> Option<i32> {
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    (rest.next()? == "Z").then(|| rest.next()?.parse().ok())?
}

/// The CPU time that a process of `program` takes which begins and ends.
///
/// # Errors
/// It cannot be started.
pub fn cost(program: &Path) -> Result<Duration> {
    const TIMES: u32 = 100;
    let spent = || -> Result<Duration> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("asking for CPU time")?;
        let micros = |time: TimeVal| u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0);
        Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
    };
    let before = spent()?;
    for _ in 0..TIMES {
        // Without words it complains and ends.
        Command::new(program)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("starting {}", program.display()))?;
    }
    Ok(spent()?.saturating_sub(before) / TIMES)
}

/// Where the cgroup v2 hierarchy is mounted.
pub fn hierarchy() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    let found = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let target = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(target))
    });
    found.context("this host has no cgroup v2 hierarchy")
}

/// The group that this process is in.
pub fn own_group(hierarchy: &Path) -> Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").context("reading /proc/self/cgroup")?;
    let path =
        text.lines().find_map(|line| line.strip_prefix("0::/")).context("this process is in no v2 group")?;
    Ok(hierarchy.join(path))
}

/// The CPU time of a group, those who have left it included.
pub fn group_cpu(group: &Path) -> Result<Duration> {
    let path = group.join("cpu.stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let micros =
        field(&text, "usage_usec ").with_context(|| format!("{} has no usage_usec", path.display()))?;
    Ok(Duration::from_micros(micros))
}

/// Everybody in a group and in those below.
pub fn in_group(group: &Path) -> Vec<Process> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<Process> = own.lines().filter_map(|line| line.parse().ok().map(Process)).collect();
    for below in below(group) {
        found.extend(in_group(&below));
    }
    found
}

/// Removes a group and those below, if nobody is left in them.
pub fn remove_group(group: &Path) -> std::io::Result<()> {
    for below in below(group) {
        remove_group(&below)?;
    }
    fs::remove_dir(group)
}

fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_is_told_from_a_process_whatever_its_name() {
        assert_eq!(zombie_of("17 (a) Z 3) S 4 17 17"), None);
        assert_eq!(zombie_of("17 (run) Z 4 17 17"), Some(4));
        assert_eq!(zombie_of("17 (run)"), None);
    }

    #[test]
    fn figures_are_found_by_their_names() {
        assert_eq!(field("Rss: 9 kB\nPss:   1234 kB\n", "Pss:"), Some(1234));
        assert_eq!(field("usage_usec 77\nuser_usec 1\n", "usage_usec "), Some(77));
        assert_eq!(field("Pss_Dirty: 1 kB\n", "Pss:"), None);
    }
}
