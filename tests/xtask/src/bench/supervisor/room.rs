//! A private machine for one supervisor: pid, mount, cgroup, network, UTS and IPC namespaces of its own.
//!
//! [`Room::open`] makes a control group, starts this program again as the hidden task [`TASK`]
//! (`inside`), which becomes the supervisor as PID 1 in there, and hears its pid. Dropping a room kills
//! everything in it and removes its files and its group. What happens in a room is `measure`'s.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::process::{self, Process};
use super::stamps::Stamps;

/// The hidden task's name.
pub const TASK: &str = "room";
/// How long processes that were killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// What becomes PID 1, and in which surroundings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    /// The directory that becomes the root.
    pub root: PathBuf,
    /// What appears as /usr, read-only; the root's own without it.
    pub usr: Option<PathBuf>,
    /// The control group that becomes the root of the hierarchy in there.
    pub cgroup: PathBuf,
    /// PID 1 and its arguments.
    pub command: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
}

/// A running room.
#[derive(Debug)]
pub struct Room {
    files: PathBuf,
    cgroup: PathBuf,
    helper: Child,
    /// PID 1, as the host knows it.
    pub first: i32,
    /// What the services have stamped.
    pub stamps: Stamps,
}

/// How things were at the moment before PID 1's program was executed.
#[derive(Debug, Clone, Copy)]
pub struct Began {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub at: u64,
    /// The room's CPU time.
    pub cpu: Duration,
}

impl Room {
    /// An empty directory that will be a room's root, with what every room has.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn lay_out(name: &str, stamp: &Path) -> Result<PathBuf> {
        let files = PathBuf::from(format!("/dev/shm/slipway-bench-{}/{name}", std::process::id()));
        let making = || format!("making {}", files.display());
        for dir in ["bench", "dev", "etc", "proc", "run", "service", "sys", "tmp", "usr", "var"] {
            fs::create_dir_all(files.join(dir)).with_context(making)?;
        }
        for (link, target) in
            [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")]
        {
            std::os::unix::fs::symlink(target, files.join(link)).with_context(making)?;
        }
        fs::copy(stamp, files.join("bench/stamp")).with_context(|| format!("copying {}", stamp.display()))?;
        for file in ["bench/stamps", "bench/console"] {
            fs::write(files.join(file), "").with_context(making)?;
        }
        Ok(files)
    }

    /// Starts PID 1 on the root `files`.
    ///
    /// # Errors
    /// The host does not allow it: it takes root and a cgroup v2 hierarchy.
    pub fn open(
        files: PathBuf,
        usr: Option<PathBuf>,
        command: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Result<Self> {
        let name = files.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cgroup = process::hierarchy()?.join(format!("slipway-bench-{}-{name}", std::process::id()));
        fs::create_dir(&cgroup).with_context(|| format!("making {} (it takes root)", cgroup.display()))?;
        let plan = Plan { root: files.clone(), usr, cgroup: cgroup.clone(), command, environment };
        let mut helper = Command::new("/proc/self/exe")
            .arg(TASK)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a room")?;
        let mut stdin = helper.stdin.take().context("telling a room its plan")?;
        serde_json::to_writer(&stdin, &plan).context("telling a room its plan")?;
        stdin.write_all(b"\n").context("telling a room its plan")?;
        drop(stdin);
        let stamps = Stamps::of(files.join("bench/stamps"));
        let mut room = Self { files, cgroup, helper, first: 0, stamps };
        let stdout = room.helper.stdout.take().context("hearing of a room")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("hearing of a room")?;
        room.first = line.trim().parse().context("a room did not come up")?;
        Ok(room)
    }

    /// How things were when PID 1 began.
    pub fn began(&self) -> Result<Began> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = fs::read_to_string(self.files.join("bench/began")).unwrap_or_default();
            if let [at, cpu] = text.split_whitespace().collect::<Vec<_>>().as_slice()
                && text.ends_with('\n')
            {
                return Ok(Began { at: at.parse()?, cpu: Duration::from_micros(cpu.parse()?) });
            }
            if Instant::now() > deadline {
                bail!("PID 1 of {} did not begin", self.files.display());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The CPU time of all processes that are or were in the room.
    pub fn cpu(&self) -> Result<Duration> {
        process::group_cpu(&self.cgroup)
    }

    /// Everybody in the room.
    pub fn processes(&self) -> Vec<Process> {
        process::in_group(&self.cgroup)
    }

    /// The supervisor's own processes: all that are no services.
    pub fn supervisors(&self) -> Vec<Process> {
        self.processes().into_iter().filter(|process| !process.is_service()).collect()
    }

    /// The service whose pid in the room is `inner`.
    pub fn service(&self, inner: u32) -> Option<Process> {
        self.processes().into_iter().find(|process| process.inner() == Some(inner))
    }

    /// What was written to the console.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.files.join("bench/console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until so many stamps are there.
    ///
    /// # Errors
    /// They are not there in time; says what the console says.
    pub fn await_stamps(&mut self, count: usize, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.stamps.read()?.len() < count {
            let ended = self.helper.try_wait().context("looking after a room")?.is_some();
            if ended || Instant::now() > deadline {
                let console = self.console();
                let mut tail: Vec<&str> = console.lines().rev().take(20).collect();
                tail.reverse();
                bail!(
                    "{} of {count} services started; the console says:\n{}",
                    self.stamps.read()?.len(),
                    tail.join("\n")
                );
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.first > 0 {
            let _ = kill(Pid::from_raw(self.first), Signal::SIGKILL);
        } else {
            // It has a parent-death signal.
            let _ = self.helper.kill();
        }
        let _ = self.helper.wait();
        let deadline = Instant::now() + GONE_WITHIN;
        while process::remove_group(&self.cgroup).is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if let Err(error) = fs::remove_dir_all(&self.files) {
            eprintln!("removing {}: {error}", self.files.display());
        }
        // Other rooms may be in it.
        let _ = self.files.parent().map(fs::remove_dir);
    }
}
