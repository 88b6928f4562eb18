//! One component: from the store, or built now.
//!
//! The key of all inputs is looked up first, so a component that did not change costs the hashing
//! of a few small files. A build works in its own directory under the store's lock for its key and is put in
//! place by rename; its log stays in `logs/` whatever happens. Beside each result lie its
//! inputs, and `last/NAME.json` has those of the latest, to say next time what changed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Workshop;
use super::inputs::Inputs;
use super::output::{self, Built};
use crate::profile::Component;
use crate::progress::{Amount, Outcome, Task};
use crate::recipe::{self, Job};
use crate::sandbox::tail;
use crate::store::{Area, Claim, Entry};

/// How often people see the last line of a running build's log.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So many looks apart, a pipe gets a line that the build is still at it: a minute.
const LOOKS_PER_LINE: u64 = 120;

/// The result of one component.
///
/// # Errors
/// Its inputs are not all there, or a step fails.
pub fn build(workshop: &Workshop, component: &Component) -> Result<Built> {
    let name = &component.name;
    let inputs =
        recipe::inputs(workshop, component).with_context(|| format!("looking at component {name}"))?;
    let key = inputs.key();
    let waiting =
        || workshop.progress.note(&format!("build {name}: another slipway is building it, waiting"));
    let directory = match workshop.store.entry(Area::Built, &key, waiting)? {
        Entry::Ready(directory) => {
            workshop.progress.task("build", name.as_str(), Amount::Unknown).finish(Outcome::FromStore);
            directory
        }
        Entry::Vacant(claim) => {
            make(workshop, component, &inputs, claim).with_context(|| format!("building component {name}"))?
        }
    };
    Built::load(key, directory)
}

/// Everything that a component is made from.
pub(super) fn inputs(workshop: &Workshop, component: &Component) -> Result<Inputs> {
    recipe::inputs(workshop, component).with_context(|| format!("looking at component {}", component.name))
}

/// Builds it and puts it into the store.
fn make(workshop: &Workshop, component: &Component, inputs: &Inputs, claim: Claim) -> Result<PathBuf> {
    let name = component.name.as_str();
    let reason = inputs.reason(last(workshop, name).as_ref());
    let task = workshop.progress.task("build", name, Amount::Unknown);
    task.message(&reason);
    // Another name each time: the last one's may still be under removal.
    let work = tempfile::Builder::new()
        .prefix(&format!("work-{}-", inputs.key()))
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(workshop.store.root().join("tmp"))
        .context("making a directory to build in")?
        .keep();
    let log = log_path(workshop, name, inputs);
    start_log(&log)?;
    tracing::debug!(component = name, reason, log = %log.display(), "building");

    let job = Job { work: work.clone(), log: log.clone() };
    let done = watched(&task, &log, || recipe::build(workshop, component, &job))
        .and_then(|outputs| output::keep(claim.directory(), outputs));
    remove_meanwhile(work);
    done?;

    let text = serde_json::to_vec(inputs).context("writing down what it was built from")?;
    write(&claim.directory().join("inputs.json"), &text)?;
    let directory = claim.commit()?;
    remember(workshop, name, &text)?;
    task.finish(Outcome::Done(reason));
    Ok(directory)
}

/// Runs `build` while people see what it is at, and with `-v` every line of its log.
fn watched<T>(task: &Task, log: &Path, build: impl FnOnce() -> T) -> T {
    let (ended, end) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut lines = tail::Follower::new(log);
            let mut looks = 0_u64;
            loop {
                let over = end.recv_timeout(LOOK_EVERY) != Err(mpsc::RecvTimeoutError::Timeout);
                for line in lines.new_lines() {
                    tracing::debug!("{line}");
                    task.message(&line);
                }
                if over {
                    return;
                }
                looks += 1;
                if looks.is_multiple_of(LOOKS_PER_LINE) {
                    task.set(looks);
                }
            }
        });
        let made = build();
        drop(ended);
        made
    })
}

/// A log of its own for each key, since another process may build another state of the component.
fn log_path(workshop: &Workshop, name: &str, inputs: &Inputs) -> PathBuf {
    let key = inputs.key().to_string();
    let file = format!("{name}-{}.log", key.get(..8).unwrap_or(&key));
    workshop.store.root().join("logs").join(file)
}

/// What the component was last built from here.
fn last(workshop: &Workshop, name: &str) -> Option<Inputs> {
    let text = fs::read(last_path(workshop, name)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn remember(workshop: &Workshop, name: &str, inputs: &[u8]) -> Result<()> {
    let path = last_path(workshop, name);
    let next = path.with_extension(format!("{}.new", std::process::id()));
    write(&next, inputs)?;
    fs::rename(&next, &path).with_context(|| format!("writing {}", path.display()))
}

fn last_path(workshop: &Workshop, name: &str) -> PathBuf {
    workshop.store.root().join("last").join(format!("{name}.json"))
}

/// Removes a build's directory while others go on: a kernel's has tens of thousands of files. What is
/// not done when the command ends, the next one sweeps.
fn remove_meanwhile(work: PathBuf) {
    std::thread::spawn(move || {
        if let Err(error) = remove(&work) {
            tracing::debug!(error = format!("{error:#}"), "leaving rubbish in the store");
        }
    });
}

/// Removes what ended builds left in `tmp`: the directories whose lock nobody holds.
///
/// # Errors
/// The store cannot be listed.
pub(super) fn sweep(workshop: &Workshop) -> Result<()> {
    let tmp = workshop.store.root().join("tmp");
    let listing = || format!("listing {}", tmp.display());
    for entry in fs::read_dir(&tmp).with_context(listing)? {
        let entry = entry.with_context(listing)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let key = name.strip_prefix("work-").and_then(|rest| rest.split('-').next());
        let Some(key) = key else { continue };
        let lock = workshop.store.root().join("locks").join(format!("built-{key}"));
        let Ok(lock) = File::open(&lock) else { continue };
        if lock.try_lock().is_ok() {
            remove_meanwhile(entry.path());
        }
    }
    Ok(())
}

fn start_log(log: &Path) -> Result<()> {
    remove(log)?;
    write(log, b"")
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
