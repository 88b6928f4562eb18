//! The sandbox that build steps run in: fresh user, mount, pid, network, uts and ipc namespaces.
//!
//! A step sees the unpacked tools it was given (read-only), its declared mounts, a writable
//! `/build` and `/out`, an empty `/tmp`, `/proc` and six devices; it has no network, is uid 0 of
//! nothing, and its environment, host name, umask and working directory are always the same.
//! This file says what a sandbox holds and runs one; [`entry`] is what happens inside the helper
//! processes, [`mounts`] builds the root they see. The helper is this very program, started again
//! with [`entry::VERB`]: `main` must call [`entry::entered`] first.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::{Deserialize, Serialize};

pub mod entry;
mod mounts;
mod refusal;
pub mod tail;

/// What a build step believes the time to be, in seconds since 1970: a constant, since a clock
/// would end up in the bytes.
pub const SOURCE_DATE_EPOCH: u64 = 1_700_000_000;

/// How many lines of a failed step's log people are shown.
pub const TAIL_LINES: usize = 40;

/// A directory or file of the host at a fixed path in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mount {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where the step sees it.
    pub target: PathBuf,
    /// What the step may do to it.
    pub access: Access,
}

/// What a step may do to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Change it.
    ReadWrite,
}

/// What one or several steps run in.
#[derive(Debug, Clone)]
pub struct Sandbox {
    helper: PathBuf,
    work: PathBuf,
    tools: Option<PathBuf>,
    mounts: Vec<Mount>,
    shims: BTreeMap<String, PathBuf>,
    environment: BTreeMap<String, String>,
}

/// A step that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The host did not let us make the sandbox.
    #[error("entering the sandbox: {0}")]
    Refused(String),
    /// Files around the sandbox.
    #[error("{doing} {path}")]
    Files {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it did not work.
        source: std::io::Error,
    },
    /// The step ran and failed.
    #[error("{program} {ending}; the end of its log, {log}:\n{tail}", log = .log.display())]
    Failed {
        /// The step's program.
        program: String,
        /// How it ended.
        ending: Ending,
        /// Its whole log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
}

/// How a failed step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Killed(i32),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // 128 + n is how the helper hands on a signal n of the step.
            Self::Exited(code) if *code > 128 => write!(f, "was killed by signal {}", code - 128),
            Self::Exited(code) => write!(f, "exited with status {code}"),
            Self::Killed(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

/// What the helper is told, as JSON on its standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Spec {
    /// Who must live for the sandbox to live.
    parent: u32,
    /// An empty directory to build the root on.
    root: PathBuf,
    tools: Option<PathBuf>,
    mounts: Vec<Mount>,
    shims: BTreeMap<String, PathBuf>,
    environment: BTreeMap<String, String>,
    command: Vec<String>,
    directory: PathBuf,
    log: PathBuf,
}

impl Sandbox {
    /// A sandbox with nothing in it but `work/build` as `/build` and `work/out` as `/out`, both
    /// made if they are missing.
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn new(work: &Path) -> Result<Self, SandboxError> {
        for name in ["root", "build", "out"] {
            let path = work.join(name);
            fs::create_dir_all(&path).map_err(|source| SandboxError::Files {
                doing: "making",
                path,
                source,
            })?;
        }
        let environment = [
            ("PATH", "/shims:/usr/bin:/usr/sbin"),
            ("HOME", "/build"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("USER", "root"),
            ("TMPDIR", "/tmp"),
        ];
        let mut sandbox = Self {
            helper: PathBuf::from("/proc/self/exe"),
            work: work.to_owned(),
            tools: None,
            mounts: Vec::new(),
            shims: BTreeMap::new(),
            environment: environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        };
        sandbox.set("SOURCE_DATE_EPOCH", &SOURCE_DATE_EPOCH.to_string());
        sandbox.writable(&work.join("build"), "/build");
        sandbox.writable(&work.join("out"), "/out");
        Ok(sandbox)
    }

    /// Another program as the helper: for tests, whose own program has no [`entry::entered`].
    pub fn helper(&mut self, program: &Path) -> &mut Self {
        program.clone_into(&mut self.helper);
        self
    }

    /// An unpacked set of packages as the sandbox's root.
    pub fn tools(&mut self, tree: &Path) -> &mut Self {
        self.tools = Some(tree.to_owned());
        self
    }

    /// A read-only input.
    pub fn readable(&mut self, source: &Path, target: &str) -> &mut Self {
        self.mount(source, target, Access::ReadOnly)
    }

    /// A directory that outlives the step. A later mount of the same target replaces an earlier one.
    pub fn writable(&mut self, source: &Path, target: &str) -> &mut Self {
        self.mount(source, target, Access::ReadWrite)
    }

    fn mount(&mut self, source: &Path, target: &str, access: Access) -> &mut Self {
        self.mounts.retain(|mount| mount.target != Path::new(target));
        self.mounts.push(Mount { source: source.to_owned(), target: PathBuf::from(target), access });
        self
    }

    /// A name in front of the search path, for what Debian's maintainer scripts would have linked.
    pub fn shim(&mut self, name: &str, program: &str) -> &mut Self {
        self.shims.insert(name.to_owned(), PathBuf::from(program));
        self
    }

    /// A variable of the step's environment.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The host's side of `/build`.
    #[must_use]
    pub fn build_dir(&self) -> &Path {
        self.host_side("/build")
    }

    /// The host's side of `/out`.
    #[must_use]
    pub fn out_dir(&self) -> &Path {
        self.host_side("/out")
    }

    fn host_side(&self, target: &str) -> &Path {
        self.mounts
            .iter()
            .find(|mount| mount.target == Path::new(target))
            .map_or(self.work.as_path(), |mount| mount.source.as_path())
    }

    /// Runs `command` in `directory` and appends what it prints to `log`.
    ///
    /// Must be called on a thread that waits for it: the sandbox dies with that thread.
    ///
    /// # Errors
    /// When the host refuses the sandbox, or the command fails.
    pub fn run(&self, command: &[&str], directory: &str, log: &Path) -> Result<(), SandboxError> {
        let spec = Spec {
            parent: std::process::id(),
            root: self.work.join("root"),
            tools: self.tools.clone(),
            mounts: self.mounts.clone(),
            shims: self.shims.clone(),
            environment: self.environment.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            directory: PathBuf::from(directory),
            log: log.to_owned(),
        };
        let (status, complaint) = self.start(&spec)?;
        if !complaint.trim().is_empty() {
            return Err(SandboxError::Refused(complaint.trim().to_owned()));
        }
        if status.success() {
            return Ok(());
        }
        let ending = match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, signal) => Ending::Killed(signal.unwrap_or_default()),
        };
        Err(SandboxError::Failed {
            program: command.first().copied().unwrap_or_default().to_owned(),
            ending,
            log: log.to_owned(),
            tail: tail::of_file(log, TAIL_LINES),
        })
    }

    /// Starts the helper and waits: its status, and its complaint about the host if it has one
    /// (the step's own output goes to the log, never here).
    fn start(&self, spec: &Spec) -> Result<(ExitStatus, String), SandboxError> {
        let failed =
            |doing| move |source| SandboxError::Files { doing, path: PathBuf::from(&self.helper), source };
        let told = serde_json::to_vec(spec)
            .map_err(std::io::Error::from)
            .map_err(failed("describing the step to"))?;
        let mut helper = Command::new(&self.helper)
            .arg(entry::VERB)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed("starting"))?;
        if let Some(mut stdin) = helper.stdin.take() {
            // A helper that died early says why on stderr; that matters more than the broken pipe.
            let _ = stdin.write_all(&told);
        }
        let mut complaint = String::new();
        if let Some(mut stderr) = helper.stderr.take() {
            stderr.read_to_string(&mut complaint).map_err(failed("reading from"))?;
        }
        let status = helper.wait().map_err(failed("waiting for"))?;
        Ok((status, complaint))
    }
}
