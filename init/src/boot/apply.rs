//! Makes the kernel's interfaces as services expect them.
//!
//! Follows `plan` from top to bottom and returns what did not work, in words. Nothing here
//! waits for anything.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use machine_config::service::{Group, Table};
use node_sys::{mount, power, process};

use super::plan::{DIRECTORIES, LINKS, MOUNT_POINTS, MOUNTS, Mount, Need, SYSCTLS};
use super::{cpuinfo, directories};
use crate::cgroup;

/// Where people stand.
pub(crate) const CONSOLE: &str = "/dev/console";
/// Where the mended /proc/cpuinfo lies.
const CPUINFO: &str = "/run/slipway/cpuinfo";

/// Mounts what everything else needs; what did not work. What is mounted already stays as it is: in a container
/// it is not ours to decide, and another of it on top would hide what was made read-only.
#[must_use]
pub fn mounts() -> Vec<String> {
    let mut problems = Vec::new();
    for Mount { kind, target, options, data, need } in MOUNTS {
        if MOUNT_POINTS.contains(&target) {
            // The mount below says what is wrong if this did not work.
            let _ = fs::create_dir_all(target);
        }
        if mount::is_mount_point(Path::new(target)).unwrap_or(false) {
            continue;
        }
        let done = mount::mount(kind, Path::new(target), kind, options, data);
        keep(&mut problems, need, || format!("mounting {kind} on {target}"), done);
    }
    problems
}

/// Everything else; what did not work.
#[must_use]
pub fn rest() -> Vec<String> {
    let mut problems = Vec::new();
    let mut must = |doing: &str, done: io::Result<()>| {
        keep(&mut problems, Need::Required, || doing.to_owned(), done);
    };
    must("sharing mounts", mount::make_shared(Path::new("/")));
    for (link, target) in LINKS {
        must(&format!("linking {link}"), symlink(target, link));
    }
    for directory in DIRECTORIES {
        must(&format!("making {directory}"), fs::create_dir_all(directory));
    }
    must("delegating control groups", control_groups());
    must("mending /proc/cpuinfo", mend_cpuinfo());
    // Ctrl-alt-del becomes a signal to us instead of a reset without a sync.
    must("taking ctrl-alt-del", power::ask_before_restart());
    for (path, value, need) in SYSCTLS {
        let done = fs::write(Path::new("/proc/sys").join(path), value);
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem) {
            problems.push("the kernel's settings are read-only and stay as they are".to_owned());
            break;
        }
        keep(&mut problems, need, || format!("setting {path} to {value}"), done);
    }
    problems
}

/// The directories of services on /run, and the console for those who may write to it; what did not work.
#[must_use]
pub fn shared(table: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    for directory in directories::below(table, &["/run/", "/sys/"]) {
        let doing = || format!("making {}", directory.path.display());
        keep(&mut problems, Need::Required, doing, directories::make(&directory));
    }
    let console = Path::new(CONSOLE);
    let share = || {
        chown(console, None, Some(Group::Console.number()))?;
        fs::set_permissions(console, Permissions::from_mode(0o620))
    };
    // A machine without a console has nothing to share.
    let shared = if console.exists() { share() } else { Ok(()) };
    keep(&mut problems, Need::Required, || format!("sharing {CONSOLE}"), shared);
    problems
}

fn keep(problems: &mut Vec<String>, need: Need, doing: impl FnOnce() -> String, done: io::Result<()>) {
    if let (Need::Required, Err(error)) = (need, done) {
        problems.push(format!("{}: {error}", doing()));
    }
}

/// Hands every controller on: to pods, and to services. A group that does so may hold no processes, but for the
/// hierarchy's root: only where we are in the way, in a container, we move, for which the kernel takes 10 ms.
fn control_groups() -> io::Result<()> {
    fs::create_dir_all(cgroup::SERVICES)?;
    let done = delegate(cgroup::ROOT);
    if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy) {
        fs::create_dir_all(cgroup::SELF)?;
        let own = process::Pid::of_this_process().as_raw().to_string();
        fs::write(Path::new(cgroup::SELF).join("cgroup.procs"), own)?;
        delegate(cgroup::ROOT)?;
    } else {
        done?;
    }
    delegate(cgroup::SERVICES)
}

fn delegate(group: &str) -> io::Result<()> {
    let group = Path::new(group);
    let available = fs::read_to_string(group.join("cgroup.controllers"))?;
    fs::write(group.join("cgroup.subtree_control"), cgroup::delegation(&available))
}

fn mend_cpuinfo() -> io::Result<()> {
    let Some(text) = cpuinfo::mended(&fs::read_to_string("/proc/cpuinfo")?) else { return Ok(()) };
    fs::write(CPUINFO, text)?;
    mount::bind(Path::new(CPUINFO), Path::new("/proc/cpuinfo"))
}
