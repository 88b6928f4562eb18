//! Waits until a drill's service is ready, then its seconds, then strikes.
//!
//! A thread per drill; there are a handful. The record is written before the blow, so that
//! a drill that takes the machine with it is not repeated.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use machine_config::machine::{Drill, DrillSignal};
use machine_config::service::{Ready, Table, TableError, Unit};

use super::schedule::Record;
use super::target::{Process, is_main, main_process};
use crate::agent::files::{self, FileError};
use crate::agent::machine::{self, MachineError};
use crate::agent::notify::Notifier;
use crate::agent::paths;
use crate::cgroup;
use crate::probe::{self, Question};

/// How often a service's main process is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The table and the record are small.
const SMALL_MAX: u64 = 64 * 1024;

/// Why nothing is rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum DrillAgentError {
    /// No config.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The services' table cannot be read.
    #[error("reading the services' table: {0}")]
    Table(#[from] TableError),
    /// A drill for nobody.
    #[error("this image has no service {0}")]
    Unknown(String),
    /// The record cannot be written.
    #[error("writing down what was rehearsed: {0}")]
    Record(#[from] toml::ser::Error),
    /// The blow failed.
    #[error("{doing}: {source}")]
    Strike {
        /// What.
        doing: String,
        /// Why.
        source: io::Error,
    },
}

/// Runs the agent: to the end when there is nothing to rehearse, or else until it is killed.
///
/// # Errors
/// [`DrillAgentError`].
pub fn run() -> Result<(), DrillAgentError> {
    let config = machine::load_plain()?;
    Notifier::from_environment().ready();
    let record = load().of(config.header.serial);
    let open = record.open(&config.drills);
    tracing::info!(open = open.len(), "drills");
    let record = Arc::new(Mutex::new(record));
    let threads: Vec<_> = open
        .into_iter()
        .map(|(place, drill)| {
            let record = Arc::clone(&record);
            thread::spawn(move || {
                if let Err(error) = rehearse(place, &drill, &record) {
                    tracing::warn!(service = %drill.service, %error, "drill failed");
                }
            })
        })
        .collect();
    for thread in threads {
        // A thread that panicked has said so; the others go on.
        let _ = thread.join();
    }
    // A service that ends is started again; this one has nothing left to do and stays.
    loop {
        thread::park();
    }
}

fn rehearse(place: usize, drill: &Drill, record: &Mutex<Record>) -> Result<(), DrillAgentError> {
    let spec = match drill.signal {
        DrillSignal::Kill => Some(load_unit(drill.service.as_str())?),
        DrillSignal::Reboot => None,
    };
    if let Some(spec) = &spec {
        wait_until_ready(spec);
    }
    thread::sleep(Duration::from_secs(u64::from(drill.after_seconds)));
    {
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        if !record.note(place) {
            return Ok(());
        }
        files::replace(Path::new(paths::DRILLS), toml::to_string(&*record)?.as_bytes(), 0o600)?;
    }
    tracing::info!(service = %drill.service, signal = ?drill.signal, "drill");
    match &spec {
        Some(spec) => kill(spec),
        None => node_sys::signal::ask_for_reboot()
            .map_err(|source| DrillAgentError::Strike { doing: "asking PID 1 to reboot".to_owned(), source }),
    }
}

/// Its own probe says when; without one it counts as ready once it runs.
fn wait_until_ready(spec: &Unit) {
    if let Ready::Probe { ask, .. } = &spec.ready
        && let Ok(question) = Question::parse(ask)
    {
        probe::wait(&question);
    } else {
        while main_process(&processes(spec), &spec.exec).is_none() {
            thread::sleep(LOOK_EVERY);
        }
    }
}

fn kill(spec: &Unit) -> Result<(), DrillAgentError> {
    let processes = processes(spec);
    let missing = || DrillAgentError::Strike {
        doing: format!("finding the main process of {}", spec.name),
        source: io::ErrorKind::NotFound.into(),
    };
    let pid = main_process(&processes, &spec.exec).ok_or_else(missing)?.pid;
    // The number may have gone to another process between the look and the blow.
    let is_it = || process(pid).is_some_and(|process| is_main(&process, &spec.exec));
    node_sys::signal::kill(pid, is_it).map_err(|source| DrillAgentError::Strike {
        doing: format!("killing process {pid} of {}", spec.name),
        source,
    })
}

/// The processes of a service's control group.
fn processes(spec: &Unit) -> Vec<Process> {
    let path = Path::new(cgroup::SERVICES).join(spec.name.as_str()).join("cgroup.procs");
    // No group, no process: the service has not been started yet.
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| process(line.parse().ok()?)).collect()
}

fn process(pid: i32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    Some(Process { pid, parent, words: words.collect() })
}

fn load_unit(service: &str) -> Result<Unit, DrillAgentError> {
    let table = Table::decode(&files::read(Path::new(paths::SERVICES), SMALL_MAX)?)?;
    let found = table.units.into_iter().find(|unit| unit.name.as_str() == service);
    found.ok_or_else(|| DrillAgentError::Unknown(service.to_owned()))
}

/// A record that cannot be read is an empty one: drills are rehearsals, not the machine's life.
fn load() -> Record {
    let text = files::read_text(Path::new(paths::DRILLS), SMALL_MAX).unwrap_or_default();
    toml::from_str(&text).unwrap_or_default()
}
