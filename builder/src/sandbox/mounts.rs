//! The root that a step sees, built by mounts alone.
//!
//! A small tmpfs holds the mount points; what is in it comes by bind mounts, read-only unless
//! stated. Nothing is written into the tools' tree: the top-level names of a usr-merged system
//! that its packages do not carry are links in the tmpfs. Runs as pid 1 of the sandbox, before
//! the step.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::{Access, Spec, refusal};

/// Devices that a compiler may need; nothing that leads to the host.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Top-level names that the sandbox makes itself.
const OURS: [&str; 8] = ["dev", "proc", "sys", "tmp", "run", "build", "out", "shims"];

/// Names of a usr-merged root and where they lead.
const USR_MERGE: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];

/// Builds the root on `spec.root` and moves into it.
pub(super) fn build_root(spec: &Spec) -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|errno| anyhow!(refusal::of_host("making the mounts private", errno)))?;
    tmpfs(&spec.root, "mode=0755").map_err(|errno| anyhow!(refusal::of_host("mounting a tmpfs", errno)))?;

    if let Some(tools) = &spec.tools {
        bind_entries(tools, &spec.root, &OURS)?;
    }
    identity(&spec.root.join("etc"))?;
    devices(&spec.root.join("dev"))?;
    shims(spec)?;
    let tmp = make_dir(&spec.root.join("tmp"))?;
    tmpfs(&tmp, "mode=1777").context("mounting /tmp")?;
    let proc = make_dir(&spec.root.join("proc"))?;
    mount(Some("proc"), &proc, Some("proc"), MsFlags::empty(), None::<&str>).map_err(
        |errno| match errno {
            Errno::EPERM => anyhow!(
                "mounting /proc: {}: the host's own /proc is masked, as it is in most containers; \
             start the container with an unmasked one",
                errno.desc()
            ),
            _ => anyhow!(refusal::of_host("mounting /proc", errno)),
        },
    )?;
    for wanted in &spec.mounts {
        let target = inside(&spec.root, &wanted.target)?;
        bind(&wanted.source, &target, wanted.access)?;
    }
    for (name, leads_to) in USR_MERGE {
        let at = spec.root.join(name);
        if at.symlink_metadata().is_err() && spec.root.join(leads_to).is_dir() {
            symlink(leads_to, &at).with_context(|| format!("linking {name}"))?;
        }
    }
    enter(&spec.root)
}

/// Makes `root` the root, lets go of the host's, and seals it.
fn enter(root: &Path) -> Result<()> {
    std::env::set_current_dir(root).context("entering the root")?;
    nix::unistd::pivot_root(".", ".").context("changing the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("letting go of the host's root")?;
    std::env::set_current_dir("/").context("entering the root")?;
    let sealed = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, "/", None::<&str>, sealed, None::<&str>).context("making the root read-only")
}

fn tmpfs(at: &Path, options: &str) -> nix::Result<()> {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options))
}

fn make_dir(path: &Path) -> Result<PathBuf> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    Ok(path.to_owned())
}

/// Where an absolute path of the sandbox is while its root is still a directory of the host.
fn inside(root: &Path, target: &Path) -> Result<PathBuf> {
    let mut path = root.to_owned();
    for part in target.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => path.push(name),
            _ => bail!("mounting at {}: not a plain absolute path", target.display()),
        }
    }
    Ok(path)
}

/// Each entry of `from` below `to`: links as links, the rest by read-only bind mount.
fn bind_entries(from: &Path, to: &Path, except: &[&str]) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("listing {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("listing {}", from.display()))?;
        let (name, path) = (entry.file_name(), entry.path());
        if except.iter().any(|own| name == *own) {
            continue;
        }
        let target = to.join(&name);
        let kind = entry.file_type().with_context(|| format!("reading {}", path.display()))?;
        if kind.is_symlink() {
            let leads_to = fs::read_link(&path).with_context(|| format!("reading {}", path.display()))?;
            symlink(leads_to, &target).with_context(|| format!("linking {}", target.display()))?;
        } else if name == "etc" && kind.is_dir() {
            // A directory of our own, so that the sandbox's user and group can join it.
            bind_entries(&path, &make_dir(&target)?, &["passwd", "group", "resolv.conf", "hosts"])?;
        } else {
            bind(&path, &target, Access::ReadOnly)?;
        }
    }
    Ok(())
}

/// One bind mount, onto a mount point of the source's kind that is made for it.
fn bind(source: &Path, target: &Path, access: Access) -> Result<()> {
    let doing = || format!("mounting {} into the sandbox", source.display());
    let is_dir = fs::metadata(source).with_context(doing)?.is_dir();
    if is_dir {
        make_dir(target)?;
    } else {
        if let Some(parent) = target.parent() {
            make_dir(parent)?;
        }
        fs::write(target, []).with_context(doing)?;
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), target, None::<&str>, flags, None::<&str>).with_context(doing)?;
    if access == Access::ReadOnly {
        let kept = locked_flags(target).with_context(doing)?;
        let sealed = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | kept;
        mount(None::<&str>, target, None::<&str>, sealed, None::<&str>).with_context(doing)?;
    }
    Ok(())
}

/// Flags of the underlying mount that a user namespace may not drop when it remounts.
fn locked_flags(at: &Path) -> nix::Result<MsFlags> {
    let found = statvfs(at)?.flags();
    let pairs = [
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    Ok(pairs.into_iter().filter(|(there, _)| found.contains(*there)).map(|(_, keep)| keep).collect())
}

/// The names behind the one user and group there are.
fn identity(etc: &Path) -> Result<()> {
    make_dir(etc)?;
    for (file, text) in [("passwd", "root:x:0:0:root:/build:/bin/sh\n"), ("group", "root:x:0:\n")] {
        fs::write(etc.join(file), text).with_context(|| format!("writing /etc/{file}"))?;
    }
    Ok(())
}

fn devices(dev: &Path) -> Result<()> {
    make_dir(dev)?;
    for name in DEVICES {
        let target = dev.join(name);
        fs::write(&target, []).with_context(|| format!("making /dev/{name}"))?;
        let source = Path::new("/dev").join(name);
        mount(Some(&source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("mounting /dev/{name}"))?;
    }
    let links = [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
    for (name, leads_to) in links {
        symlink(leads_to, dev.join(name)).with_context(|| format!("linking /dev/{name}"))?;
    }
    Ok(())
}

fn shims(spec: &Spec) -> Result<()> {
    let dir = make_dir(&spec.root.join("shims"))?;
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).context("making /shims")?;
    for (name, program) in &spec.shims {
        symlink(program, dir.join(name)).with_context(|| format!("linking /shims/{name}"))?;
    }
    Ok(())
}
