//! What a scenario sees without asking PID 1: processes, descriptors and control groups.
//!
//! All from /proc and /sys/fs/cgroup, as the kernel says at that moment.

use std::fs;
use std::path::{Path, PathBuf};

use init::cgroup;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// The kernel's letter: `Z` is a zombie.
    pub(crate) state: char,
    /// Its words; nothing for the kernel's own and for zombies.
    pub(crate) command: Vec<String>,
}

/// All processes.
pub(crate) fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// One process, if it is there.
pub(crate) fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name is in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = words.split_terminator('\0').map(str::to_owned).collect();
    Some(Process { pid, parent, state, command })
}

/// Those that have ended and that nobody has reaped.
pub(crate) fn zombies() -> Vec<Process> {
    processes().into_iter().filter(|process| process.state == 'Z').collect()
}

/// A service's control group.
pub(crate) fn group(service: &str) -> PathBuf {
    Path::new(cgroup::SERVICES).join(service)
}

/// The processes in a service's control group.
pub(crate) fn members(service: &str) -> Vec<i32> {
    let text = fs::read_to_string(group(service).join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// How many descriptors PID 1 has open.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/1/fd").unwrap().count()
}

/// How many control groups there are.
pub(crate) fn groups() -> usize {
    fn count(path: &Path) -> usize {
        let below = fs::read_dir(path).into_iter().flatten().flatten();
        let directories = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        1 + directories.map(|entry| count(&entry.path())).sum::<usize>()
    }
    count(Path::new(cgroup::ROOT))
}
