//! Another place to build in: other paths, another user, host name, umask and environment.
//!
//! A [`Place`] is data; `enter` is the effect, in a process of its own (`cargo xtask` started again
//! with the hidden task `elsewhere`): a mount namespace in which the prepared directory lies
//! at [`AT`], with the first store's downloads in it, read-only. Then the user changes and the
//! command takes the process over, so nothing of it outlives the command.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Uid, getegid, geteuid, setgid, setgroups, sethostname, setuid};
use serde::{Deserialize, Serialize};

/// Where everything lies in there.
pub const AT: &str = "/mnt";

/// The hidden task's name.
pub const TASK: &str = "elsewhere";

/// The user in there: nobody's number on any host we know of.
pub const USER: u32 = 61_234;

/// The host's name in there.
const HOST_NAME: &str = "elsewhere";

/// Who runs the second build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Another user of the host, without any rights.
    Another,
    /// Our own user under another number, in a user namespace.
    Renumbered,
    /// Our own user.
    Same,
}

/// What the command will find.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Place {
    /// The directory that becomes [`AT`].
    pub root: PathBuf,
    /// Read-only inputs: where they are, and where below the root they appear.
    pub inputs: Vec<(PathBuf, PathBuf)>,
    /// Who runs the command.
    pub who: Who,
    /// The umask.
    pub umask: u32,
    /// All of the environment.
    pub environment: BTreeMap<String, String>,
    /// The working directory.
    pub directory: PathBuf,
    /// The command.
    pub command: Vec<String>,
}

impl Who {
    /// The most that is possible here.
    pub fn here() -> Self {
        Self::possible(geteuid().as_raw(), namespaces_for_all())
    }

    /// The most that `euid` may do on a host that says this about user namespaces of ordinary users.
    fn possible(euid: u32, namespaces_for_all: bool) -> Self {
        match (euid, namespaces_for_all) {
            (0, true) => Who::Another,
            (0, false) => Who::Same,
            _ => Who::Renumbered,
        }
    }

    /// What was done, in words, and what was not.
    pub fn describe(self) -> String {
        match self {
            Who::Another => format!("uid {USER}, without rights"),
            Who::Renumbered => {
                format!("uid {USER} in a user namespace; to the host it is the same user, for want of root")
            }
            Who::Same => {
                "the same user: this host forbids ordinary users the user namespaces a build needs".to_owned()
            }
        }
    }
}

/// Whether ordinary users may have user namespaces here, by the kernel's own switches.
fn namespaces_for_all() -> bool {
    let says = |file: &str, word: &str| {
        fs::read_to_string(Path::new("/proc/sys").join(file)).is_ok_and(|text| text.trim() == word)
    };
    !says("kernel/unprivileged_userns_clone", "0")
        && !says("user/max_user_namespaces", "0")
        && !says("kernel/apparmor_restrict_unprivileged_userns", "1")
}

/// Starts this program again, to run `place`'s command in there.
///
/// # Errors
/// The host does not allow it, or the command fails.
pub fn run(place: &Place) -> Result<()> {
    let text = serde_json::to_vec(place).context("describing the place of the second build")?;
    let mut child = Command::new("/proc/self/exe")
        .arg(TASK)
        .stdin(Stdio::piped())
        .spawn()
        .context("starting the second build")?;
    let mut stdin = child.stdin.take().context("telling the second build its place")?;
    std::io::Write::write_all(&mut stdin, &text).context("telling the second build its place")?;
    drop(stdin);
    let status = child.wait().context("waiting for the second build")?;
    if !status.success() {
        bail!("the second build ended with {status}");
    }
    Ok(())
}

/// The hidden task: goes to the place on standard input and becomes its command.
///
/// # Errors
/// Always: it does not return otherwise.
pub fn enter() -> Result<()> {
    let place: Place = serde_json::from_reader(std::io::stdin()).context("reading the place to build in")?;
    take_namespaces(place.who)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("making the mounts private")?;
    for (source, target) in &place.inputs {
        bind_read_only(source, &place.root.join(target))?;
    }
    let everything = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(&place.root), AT, None::<&str>, everything, None::<&str>)
        .with_context(|| format!("mounting {} at {AT}", place.root.display()))?;
    sethostname(HOST_NAME).context("setting the host name")?;
    if place.who == Who::Another {
        setgroups(&[]).context("leaving all groups")?;
        setgid(Gid::from_raw(USER)).context("changing the group")?;
        setuid(Uid::from_raw(USER)).context("changing the user")?;
    }
    umask(Mode::from_bits_truncate(place.umask));
    let (program, arguments) = place.command.split_first().context("starting a build without a command")?;
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&place.environment)
        .current_dir(&place.directory)
        .stdin(Stdio::null())
        .exec();
    Err(error).with_context(|| format!("starting {program} in {}", place.directory.display()))
}

fn take_namespaces(who: Who) -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    let mut wanted = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    if who == Who::Renumbered {
        wanted |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(wanted).context("taking namespaces for the second build")?;
    if who == Who::Renumbered {
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{USER} {uid} 1")),
            ("gid_map", format!("{USER} {gid} 1")),
        ] {
            fs::write(format!("/proc/self/{file}"), text).with_context(|| format!("writing {file}"))?;
        }
    }
    Ok(())
}

fn bind_read_only(source: &Path, target: &Path) -> Result<()> {
    let doing = || format!("mounting {} at {}", source.display(), target.display());
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>).with_context(doing)?;
    let found = statvfs(target).with_context(doing)?.flags();
    // What a user namespace may not drop when it remounts.
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let kept: MsFlags =
        kept.into_iter().filter(|(there, _)| found.contains(*there)).map(|(_, keep)| keep).collect();
    let sealed = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept;
    mount(None::<&str>, target, None::<&str>, sealed, None::<&str>).with_context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_can_build_as_another_user_of_the_host() {
        assert_eq!(Who::possible(0, true), Who::Another);
        assert_eq!(Who::possible(1000, true), Who::Renumbered);
        assert_eq!(Who::possible(0, false), Who::Same);
    }

    #[test]
    fn what_could_not_be_varied_is_said() {
        assert!(Who::Renumbered.describe().contains("the same user"));
        assert!(Who::Same.describe().contains("the same user"));
    }
}
