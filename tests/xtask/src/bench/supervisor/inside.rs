//! The way into a room: namespaces, mounts, and then PID 1's program.
//!
//! [`enter`] is the hidden task: it takes the namespaces, starts this program once more as their
//! PID 1 and waits for its end; [`become_first`] makes the mounts and becomes the supervisor. /proc, /sys
//! and /dev come from here and are harmless: nothing in a room can set what is the host's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{chdir, pivot_root, sethostname};

use super::process;
use super::room::Plan;

/// The hidden task that is PID 1 until it is the supervisor.
pub const FIRST: &str = "room-first";

/// The devices of a room: none of them is hardware.
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("kmsg", 1, 3)];

/// The hidden task: makes a room of the plan on standard input, says PID 1's number, and ends with it.
///
/// # Errors
/// The host does not allow it.
pub fn enter() -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("dying with the bench")?;
    let mut text = String::new();
    io::stdin().read_line(&mut text).context("reading the plan of a room")?;
    let plan: Plan = serde_json::from_str(&text).context("reading the plan of a room")?;
    let hierarchy = process::hierarchy()?;
    let mut home = File::options()
        .write(true)
        .open(process::own_group(&hierarchy)?.join("cgroup.procs"))
        .context("opening the own control group")?;
    fs::write(plan.cgroup.join("cgroup.procs"), "0").context("entering a room's control group")?;
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(namespaces).context("taking namespaces for a room (it takes root)")?;
    let mut first = Command::new("/proc/self/exe")
        .arg(FIRST)
        .arg(&text)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("starting PID 1")?;
    home.write_all(b"0").context("leaving a room's control group")?;
    println!("{}", first.id());
    first.wait().context("waiting for PID 1")?;
    Ok(())
}

/// The hidden task in the room: becomes the supervisor of `plan`.
///
/// # Errors
/// Always: it does not return otherwise.
pub fn become_first(plan: &str) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("dying with the room")?;
    let plan: Plan = serde_json::from_str(plan).context("reading the plan of a room")?;
    umask(Mode::empty());
    surroundings(&plan)?;
    umask(Mode::from_bits_truncate(0o022));
    let console = File::options().append(true).open("/dev/console").context("opening the console")?;
    let (program, arguments) = plan.command.split_first().context("a room without PID 1")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(plan.environment)
        .stdin(Stdio::null())
        .stdout(console.try_clone().context("opening the console")?)
        .stderr(console);
    let cpu = process::group_cpu(Path::new("/sys/fs/cgroup"))?;
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("reading the clock")?;
    let nanos = now.tv_sec() * 1_000_000_000 + now.tv_nsec();
    fs::write("/bench/began", format!("{nanos} {}\n", cpu.as_micros()))
        .context("writing when PID 1 began")?;
    Err(command.exec()).with_context(|| format!("starting {program}"))
}

fn surroundings(plan: &Plan) -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("making the mounts private")?;
    let root = &plan.root;
    bind(root, root, false)?;
    if let Some(usr) = &plan.usr {
        bind(usr, &root.join("usr"), true)?;
    }
    fresh("proc", &root.join("proc"), "")?;
    for file in ["proc/sys", "proc/sysrq-trigger"].map(|file| root.join(file)) {
        // Not every kernel has sysrq.
        if file.exists() {
            bind(&file, &file, true)?;
        }
    }
    fresh("sysfs", &root.join("sys"), "")?;
    read_only(&root.join("sys"))?;
    fresh("cgroup2", &root.join("sys/fs/cgroup"), "")?;
    fresh("tmpfs", &root.join("dev"), "mode=0755")?;
    for (name, major, minor) in DEVICES {
        let path = root.join("dev").join(name);
        mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor))
            .with_context(|| format!("making {}", path.display()))?;
    }
    symlink("/bench/console", root.join("dev/console")).context("making the console")?;
    for (kind, target) in [("tmpfs", "run"), ("tmpfs", "tmp")] {
        fresh(kind, &root.join(target), "mode=0755")?;
    }
    chdir(root).context("entering the root")?;
    pivot_root(".", ".").context("changing the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("leaving the host's root")?;
    chdir("/").context("entering the root")?;
    sethostname("room").context("setting the host name")
}

fn fresh(kind: &str, target: &Path, data: &str) -> Result<()> {
    mount(Some(kind), target, Some(kind), MsFlags::empty(), Some(data))
        .with_context(|| format!("mounting {kind} on {}", target.display()))
}

fn bind(source: &Path, target: &Path, sealed: bool) -> Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("mounting {} on {}", source.display(), target.display()))?;
    if sealed { read_only(target) } else { Ok(()) }
}

fn read_only(target: &Path) -> Result<()> {
    let sealed = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, target, None::<&str>, sealed, None::<&str>)
        .with_context(|| format!("sealing {}", target.display()))
}
