//! Kills by control group: no fork runs away from that, and whoever is spared is not touched.
//!
//! Everything but PID 1 is in a group: services in theirs, pods in the kubelet's, what a service
//! left behind where it was. Who is spared, and for how long, is the supervisor's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cgroup;

/// Kills everybody but the services `spared`, without waiting for it.
///
/// # Errors
/// Those of the kernel's files; a group that is gone is nobody's problem.
pub(crate) fn kill(spared: &[&str]) -> io::Result<()> {
    let mut outcome = Ok(());
    for group in groups(spared) {
        match fs::write(group.join("cgroup.kill"), "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => outcome = Err(error),
            _ => {}
        }
    }
    outcome
}

/// Whether nobody but the services `spared` is left.
pub(crate) fn has_gone(spared: &[&str]) -> bool {
    groups(spared).into_iter().all(|group| match fs::read_to_string(group.join("cgroup.events")) {
        Ok(events) => cgroup::is_empty(&events),
        Err(_) => true,
    })
}

fn groups(spared: &[&str]) -> Vec<PathBuf> {
    let is_spared =
        |path: &Path| spared.iter().any(|name| path.file_name().is_some_and(|file| file == *name));
    let top = below(Path::new(cgroup::ROOT));
    let others = top.filter(|path| path != Path::new(cgroup::SELF) && path != Path::new(cgroup::SERVICES));
    let services = below(Path::new(cgroup::SERVICES)).filter(|path| !is_spared(path));
    others.chain(services).collect()
}

fn below(group: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir())
}
