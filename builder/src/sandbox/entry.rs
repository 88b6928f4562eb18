//! Inside the helper processes: from the host into the sandbox, step by step.
//!
//! Two processes, since a pid namespace begins with the next child: the outer one takes the
//! namespaces and passes its input on; the inner one is pid 1 in there, builds the root, starts
//! the step and reaps. Complaints about the host go to stderr (the caller reads them), the step's
//! output to its log. Whoever dies takes everything below along: the parent-death signal kills
//! the outer and the inner process, and a pid namespace ends with its pid 1.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd;

use super::{Spec, mounts, refusal};

/// The first argument of a helper. Not a verb for people.
pub const VERB: &str = "sandbox-exec";

/// The second argument of the inner helper.
const INNER: &str = "inner";

/// What the sandbox's host name is.
const HOST_NAME: &str = "slipway";

/// The status that goes with a complaint on stderr.
const COMPLAINT: u8 = 125;

/// Plays the helper's part if this process was started as one.
#[must_use]
pub fn entered() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != VERB {
        return None;
    }
    let done = match arguments.next() {
        Some(word) if word == INNER => inner(),
        _ => outer(),
    };
    Some(match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(COMPLAINT)
        }
    })
}

fn outer() -> Result<u8> {
    let spec = told()?;
    die_with(spec.parent)?;
    // Out of the terminal's process group: Ctrl-C ends the caller, and the caller's end this.
    unistd::setsid().context("leaving the terminal")?;
    crate::sys::close_inherited_on_exec().context("closing inherited descriptors")?;
    take_namespaces()?;
    unistd::sethostname(HOST_NAME).context("setting the host name")?;

    let mut inner = Command::new("/proc/self/exe")
        .args([VERB, INNER])
        .stdin(Stdio::piped())
        .spawn()
        .context("starting the first process of the sandbox")?;
    let stdin = inner.stdin.take().context("telling the first process of the sandbox its task")?;
    serde_json::to_writer(stdin, &spec).context("telling the first process of the sandbox its task")?;
    let status = inner.wait().context("waiting for the sandbox")?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => by_signal(signal.unwrap_or_default()),
    })
}

fn inner() -> Result<u8> {
    let spec = told()?;
    // The outer process is outside this pid namespace, where it has no number.
    die_with(0)?;
    let open_log = || OpenOptions::new().create(true).append(true).open(&spec.log);
    let log = open_log().with_context(|| format!("opening {}", spec.log.display()))?;
    mounts::build_root(&spec)?;

    prctl::set_no_new_privs().context("giving up new privileges")?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let (program, arguments) = spec.command.split_first().context("starting a step without a command")?;
    let errors = log.try_clone().context("sharing the log")?;
    let step = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&spec.environment)
        .current_dir(&spec.directory)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("starting {program} in {}", spec.directory.display()))?;
    reap_until(unistd::Pid::from_raw(i32::try_from(step.id()).context("reading the step's pid")?))
}

fn told() -> Result<Spec> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("reading the step")?;
    serde_json::from_slice(&text).context("reading the step")
}

/// Asks to be killed with the parent, and leaves at once if it is already gone.
fn die_with(parent: u32) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("tying the sandbox to its parent")?;
    let now = u32::try_from(unistd::getppid().as_raw()).unwrap_or_default();
    if now != parent {
        bail!("the process that wanted the sandbox is gone");
    }
    Ok(())
}

/// Every namespace at once. As root where user namespaces are forbidden, the others do.
fn take_namespaces() -> Result<()> {
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    let (uid, gid) = (unistd::geteuid(), unistd::getegid());
    match unshare(all | CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {
            map_ids(uid, gid).map_err(|errno| anyhow!(refusal::of_host("mapping user and group ids", errno)))
        }
        Err(Errno::EPERM | Errno::ENOSPC | Errno::EUSERS | Errno::EINVAL) if uid.is_root() => {
            unshare(all).context("taking namespaces as root")
        }
        Err(errno) => bail!(refusal::of_host("taking a user namespace", errno)),
    }
}

/// The caller becomes 0 in there, and nobody else exists.
fn map_ids(uid: unistd::Uid, gid: unistd::Gid) -> Result<(), Errno> {
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    // An ordinary user may map its group only after giving up on changing groups.
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// Waits for everything that is orphaned to us until `step` has ended.
fn reap_until(step: unistd::Pid) -> Result<u8> {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == step => {
                return Ok(u8::try_from(code).unwrap_or(u8::MAX));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == step => return Ok(by_signal(signal as i32)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("waiting for the step"),
        }
    }
}

fn by_signal(signal: i32) -> u8 {
    u8::try_from(signal).map_or(u8::MAX, |signal| signal.saturating_add(128))
}
