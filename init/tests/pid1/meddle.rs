//! What scenarios do to the machine behind PID 1's back.
//!
//! Killing, holding PID 1 itself, having a process's number come again, setting the clock, mounting.
//! What must be undone is undone when its guard is dropped, also by a scenario that fails.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use init::cgroup;
use init::control::message::Request;
use init::control::{CONTROL, client};
use node_sys::mount::{self, Options};

use crate::ask::{PATIENCE, until};
use crate::{actor, look};

/// Kills a process that is there.
pub(crate) fn kill(pid: i32) {
    try_kill(pid).unwrap();
}

/// Kills a process that may have gone.
pub(crate) fn try_kill(pid: i32) -> std::io::Result<()> {
    node_sys::signal::kill(pid, || true)
}

/// Lets actors go on that wait for the file.
pub(crate) fn touch(path: &str) {
    fs::write(path, "x").unwrap();
}

/// PID 1 does nothing while this lives.
#[derive(Debug)]
pub(crate) struct Frozen(PathBuf);

impl Frozen {
    pub(crate) fn pid1() -> Self {
        // It may be in the hierarchy's root, which cannot be frozen.
        let group = Path::new(cgroup::SELF).to_owned();
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.procs"), "1").unwrap();
        fs::write(group.join("cgroup.freeze"), "1").unwrap();
        let frozen = Self(group);
        until("PID 1 is frozen", PATIENCE, || {
            fs::read_to_string(frozen.0.join("cgroup.events")).unwrap().contains("frozen 1").then_some(())
        });
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        fs::write(self.0.join("cgroup.freeze"), "0").unwrap();
    }
}

/// Has a process do nothing any more; it can still be killed. What is born into its service's group can work.
pub(crate) fn hold(pid: i32) {
    let group = group("held");
    fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
    fs::write(group.join("cgroup.freeze"), "1").unwrap();
}

/// Makes a control group of the scenario's own, beside the services'.
pub(crate) fn group(name: &str) -> PathBuf {
    let path = Path::new(cgroup::ROOT).join(name);
    fs::create_dir(&path).unwrap();
    path
}

/// The next process gets the number after `pid`, if nobody else starts one before.
pub(crate) fn last_pid_was(pid: i32) {
    fs::write("/proc/sys/kernel/ns_last_pid", pid.to_string()).unwrap();
}

/// Sets the wall clock so far from where it is.
pub(crate) fn shift_clock(years: i64) {
    let year = Duration::from_secs(365 * 24 * 3600);
    let by = year * u32::try_from(years.unsigned_abs()).unwrap();
    let now = SystemTime::now();
    node_sys::clock::step(if years < 0 { now - by } else { now + by }).unwrap();
}

/// Mounts a file system on a directory that is made for it.
pub(crate) fn mount(source: &str, kind: &str, target: &str, data: &str) {
    fs::create_dir_all(target).unwrap();
    mount::mount(source, Path::new(target), kind, Options::default(), data)
        .unwrap_or_else(|error| panic!("mounting {target}: {error}"));
}

/// Hangs a terminal up, as the end of whoever was logged in on it does.
pub(crate) fn hang_up(terminal: &str) {
    let pid = actor::session(&format!("terminal={terminal}"));
    until("the session has ended", PATIENCE, || {
        look::process(pid).is_none_or(|process| process.state == 'Z').then_some(())
    });
}

/// From now on nothing that a process of `group` writes to the disk gets there in any time worth speaking of.
pub(crate) fn clog(group: &Path, disk: &str) {
    let number = fs::read_to_string(format!("/sys/class/block/{disk}/dev")).unwrap();
    let mut limits = fs::File::options().write(true).open(group.join("io.max")).unwrap();
    // The least that every kernel takes.
    limits.write_all(format!("{} wbps=2 wiops=2\n", number.trim()).as_bytes()).unwrap();
}

/// Writes to disks, each mounted below the root by its name, which then take nothing any more: the bytes are in memory.
pub(crate) fn fill_and_clog(disks: &[&str]) {
    let slow = group("slow");
    disks.iter().for_each(|disk| clog(&slow, disk));
    let own = std::process::id().to_string();
    fs::write(slow.join("cgroup.procs"), &own).unwrap();
    disks.iter().for_each(|disk| fs::write(format!("/{disk}/file"), vec![7; 8 << 20]).unwrap());
    fs::write(look::group("scenario").join("cgroup.procs"), &own).unwrap();
}

/// Destroys PID 1's stack, as a bug in it might: the next return goes nowhere.
pub(crate) fn smash_pid1() {
    let maps = fs::read_to_string("/proc/1/maps").unwrap();
    let stack = maps.lines().find(|line| line.ends_with("[stack]")).expect("PID 1 has a stack");
    let (from, to) = stack.split_whitespace().next().unwrap().split_once('-').unwrap();
    let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
    let memory = fs::File::options().write(true).open("/proc/1/mem").unwrap();
    let rubbish = vec![0x41; usize::try_from(to - from).unwrap()];
    memory.write_all_at(&rubbish, from).unwrap();
}

/// The same once more than PID 1 survives: the machine ends.
pub(crate) fn smash_and_wake_pid1() -> ! {
    smash_pid1();
    loop {
        // A stack that is gone is noticed when PID 1 is woken.
        let _ = client::ask(Path::new(CONTROL), &Request::Own);
        thread::sleep(Duration::from_millis(100));
    }
}
