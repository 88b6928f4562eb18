//! The labs of one user: their directories, which of them run, and how to start, ask and remove one.
//!
//! A lab's directory holds its description, the consoles and disks of its machines, and while it runs a note of where
//! its sockets are. The supervisor holds a lock on it, so that "runs" is never guessed from a stale file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::{Doing, Error, Result, chain, on};
use crate::protocol::{DETACH, READY};
use crate::spec::LabSpec;

/// Killed machines are gone at once, and with them the supervisor.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than anybody holds the lock only to look.
const LOOKING: Duration = Duration::from_millis(500);

/// A lab's directory.
#[derive(Debug, Clone)]
pub struct LabDir {
    path: PathBuf,
}

/// What a running supervisor leaves for those who look for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) run: PathBuf,
    pub(crate) control: PathBuf,
}

impl LabDir {
    /// The lab in this directory.
    pub fn at(path: &Path) -> Self {
        LabDir { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of one machine: its disks and its console. No file of the lab's own is in the way, because
    /// those have a dot in their names and machines have none.
    pub fn machine(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The log of a machine's console, of all its starts.
    pub fn console(&self, machine: &str) -> PathBuf {
        self.machine(machine).join("console.log")
    }

    /// What the supervisor itself has to say.
    pub fn supervisor_log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    /// What crossed the switch, if the lab was told to keep it.
    pub fn capture(&self) -> PathBuf {
        self.path.join("network.pcap")
    }

    /// The lab's description.
    pub fn read_spec(&self) -> Result<LabSpec> {
        read_json(&self.path.join("lab.json"))
    }

    pub(crate) fn memory_fallback(&self) -> Result<PathBuf> {
        let path = self.path.join("machine.memory");
        fs::create_dir_all(&path).doing(on("creating", &path))?;
        Ok(path)
    }

    /// Takes the lock that says "a supervisor runs here". Whoever looks whether one does holds it for a moment, too.
    pub(crate) fn lock(&self) -> Result<File> {
        let deadline = Instant::now() + LOOKING;
        loop {
            if let Some(lock) = self.try_lock(File::try_lock)? {
                return Ok(lock);
            }
            if Instant::now() > deadline {
                return Err(Error::RunningAlready(self.name()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a supervisor runs here. Any number of processes may ask at the same time.
    fn is_running(&self) -> Result<bool> {
        Ok(self.try_lock(File::try_lock_shared)?.is_none())
    }

    fn try_lock(&self, lock: fn(&File) -> Result<(), fs::TryLockError>) -> Result<Option<File>> {
        let path = self.path.join("lab.lock");
        let file = File::options().create(true).append(true).open(&path).doing(on("opening", &path))?;
        match lock(&file) {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error).doing(on("locking", &path)),
        }
    }

    pub(crate) fn write_running(&self, running: &Running) -> Result<()> {
        write_json(&self.running(), running)
    }

    /// Best effort: a note that outlives its supervisor is recognized by the lock.
    pub(crate) fn forget_running(&self) {
        if let Err(error) = fs::remove_file(self.running()) {
            tracing::debug!(%error, "note of the running lab not removed");
        }
    }

    fn running(&self) -> PathBuf {
        self.path.join("running.json")
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Removes the sockets that a supervisor left which was killed.
    fn sweep(&self) -> Result<()> {
        if self.is_running()? {
            return Ok(());
        }
        let Ok(stale) = read_json::<Running>(&self.running()) else { return Ok(()) };
        match fs::remove_dir_all(&stale.run) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing(on("removing", &stale.run))?
            }
            _ => {}
        }
        self.forget_running();
        Ok(())
    }
}

/// All labs below one directory.
#[derive(Debug, Clone)]
pub struct Labs {
    root: PathBuf,
}

/// A line of the list of labs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The lab's name.
    pub name: String,
    /// Whether its supervisor runs.
    pub running: bool,
}

impl Labs {
    /// The labs in `root`, which need not exist yet.
    pub fn in_directory(root: PathBuf) -> Self {
        Labs { root }
    }

    /// The directory that a lab of this name has or would have.
    pub fn dir(&self, name: &str) -> LabDir {
        LabDir { path: self.root.join(name) }
    }

    /// Every lab, by name.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.doing(on("listing", &self.root))?,
        };
        let mut labs = Vec::new();
        for entry in entries {
            let dir = LabDir { path: entry.doing(on("listing", &self.root))?.path() };
            if dir.path.join("lab.json").is_file() {
                labs.push(Listed { name: dir.name(), running: dir.is_running()? });
            }
        }
        labs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(labs)
    }

    /// Writes a lab down; it does not run yet. What an earlier lab of this name left is removed, unless it runs.
    pub fn create(&self, spec: &LabSpec) -> Result<LabDir> {
        if let Some(problem) = spec.problems().into_iter().next() {
            return Err(Error::Other(problem));
        }
        let dir = self.dir(&spec.name);
        if dir.path.exists() {
            self.remove(&spec.name)?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir.path)
            .doing(on("creating", &dir.path))?;
        for machine in &spec.machines {
            let path = dir.machine(&machine.name);
            fs::create_dir_all(&path).doing(on("creating", &path))?;
        }
        write_json(&dir.path.join("lab.json"), spec)?;
        Ok(dir)
    }

    /// Starts the supervisor of a lab that was written down. `command` is whatever ends in `supervise` with the lab's
    /// directory as its last argument.
    pub fn launch(&self, name: &str, mut command: Command) -> Result<Tether> {
        let dir = self.existing(name)?;
        if dir.is_running()? {
            return Err(Error::RunningAlready(name.to_owned()));
        }
        let log = dir.supervisor_log();
        let stderr = File::create(&log).doing(on("creating", &log))?;
        command.arg(&dir.path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().doing(|| format!("starting the supervisor of lab {name}"))?;
        let (Some(cord), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Other("the supervisor has no standard input and output".to_owned()));
        };
        let mut said = String::new();
        BufReader::new(&mut stdout)
            .read_line(&mut said)
            .doing(|| "reading from the supervisor".to_owned())?;
        if said.trim_end() != READY {
            let _ = child.wait();
            let last = fs::read_to_string(&log).unwrap_or_default();
            let last = last.lines().last().unwrap_or("it said nothing").to_owned();
            return Err(Error::Other(format!("lab {name} did not start: {last} (log: {})", log.display())));
        }
        Ok(Tether { child, cord })
    }

    /// The directory of a lab that was written down.
    fn existing(&self, name: &str) -> Result<LabDir> {
        let dir = self.dir(name);
        if dir.path.join("lab.json").is_file() { Ok(dir) } else { Err(Error::NoSuchLab(name.to_owned())) }
    }

    /// Connects to a running lab.
    pub fn open(&self, name: &str) -> Result<Client> {
        let dir = self.existing(name)?;
        if !dir.is_running()? {
            return Err(Error::NotRunning(name.to_owned()));
        }
        let running: Running = read_json(&dir.running())?;
        Client::connect(name, &running.control)
    }

    /// Takes a lab down, if it runs, and waits until its supervisor has ended.
    pub fn down(&self, name: &str) -> Result<()> {
        let dir = self.existing(name)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if !dir.is_running()? {
                return dir.sweep();
            }
            // It may be starting, or on its way down already: then it does not listen, and what counts is its end.
            let told = self.open(name).and_then(|mut client| client.down());
            if Instant::now() > deadline {
                let why = told.err().map(|error| format!(": {}", chain(&error))).unwrap_or_default();
                return Err(Error::Other(format!("the supervisor of lab {name} does not end{why}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Removes a lab that does not run.
    pub fn remove(&self, name: &str) -> Result<()> {
        let dir = self.dir(name);
        if dir.is_running()? {
            return Err(Error::RunningAlready(name.to_owned()));
        }
        dir.sweep()?;
        fs::remove_dir_all(&dir.path).doing(on("removing", &dir.path))
    }

    /// Keeps what is needed to understand a failed run in `to`: the description and all logs, no disks.
    pub fn keep_logs(&self, name: &str, to: &Path) -> Result<()> {
        let dir = self.dir(name);
        match fs::remove_dir_all(to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).doing(on("removing", to))?,
            _ => {}
        }
        fs::create_dir_all(to).doing(on("creating", to))?;
        let spec = dir.read_spec()?;
        let mut files = vec![
            (dir.path.join("lab.json"), to.join("lab.json")),
            (dir.supervisor_log(), to.join("supervisor.log")),
            (dir.capture(), to.join("network.pcap")),
        ];
        files.extend(
            spec.machines.iter().map(|machine| {
                (dir.console(&machine.name), to.join(format!("{}.console.log", machine.name)))
            }),
        );
        for (from, to) in files {
            if from.exists() {
                fs::copy(&from, &to).doing(on("copying", &from))?;
            }
        }
        Ok(())
    }
}

/// The cord to a supervisor that this process started; dropping it takes the lab down.
#[derive(Debug)]
pub struct Tether {
    child: Child,
    cord: ChildStdin,
}

impl Tether {
    /// Lets the lab live on.
    pub fn detach(mut self) -> Result<()> {
        self.cord.write_all(&[DETACH]).doing(|| "detaching from the supervisor".to_owned())
    }

    /// Whether the supervisor has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).doing(on("reading", path))?;
    serde_json::from_slice(&text)
        .map_err(|source| Error::Json { doing: format!("reading {}", path.display()), source })
}

/// Whoever reads it sees the old file or the new one, never half of it.
fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let text = serde_json::to_vec_pretty(value).map_err(|source| Error::Json { doing: doing(), source })?;
    let temporary = path.with_extension("new");
    fs::write(&temporary, text).doing(doing)?;
    fs::rename(&temporary, path).doing(doing)
}
