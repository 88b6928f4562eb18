//! A machine from power-on to its end, and what it said.
//!
//! Its console is its standard output, the scenario's report (/dev/tty1 in there) its standard error.
//! It dies with the thread that started it; one machine per CPU, since its kernel and its
//! processes take turns anyway.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::boot::Setup;
use crate::emulator::Emulator;
use crate::image;
use crate::inside::{PASSED, REPORT};

/// Between two looks at a machine that has not ended.
const LOOK: Duration = Duration::from_millis(5);

/// What machines are made of.
#[derive(Debug, Clone)]
pub(crate) struct Host(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    directory: tempfile::TempDir,
    common: OnceLock<PathBuf>,
    /// CPUs that no machine is bound to.
    cpus: Mutex<Vec<usize>>,
}

/// Who reads a machine's console.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader {
    /// All of it.
    Stays,
    /// So many bytes; then the console is full.
    StopsAfter(usize),
    /// So many bytes; then writing to the console is an error.
    LeavesAfter(usize),
}

/// A machine that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// All that it wrote on its console.
    pub(crate) console: String,
    /// What the scenario reported, and what User-mode Linux says to its host.
    pub(crate) report: String,
    /// How its process ended.
    pub(crate) status: ExitStatus,
    /// From power-on to the end.
    pub(crate) took: Duration,
    /// Whether it had to be ended.
    pub(crate) late: bool,
}

impl Host {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("slipway-pid1-").tempdir().unwrap();
        let cpus = Mutex::new(allowed_cpus());
        Self(Arc::new(Parts { directory, common: OnceLock::new(), cpus }))
    }

    /// Where files are kept as long as machines are booted.
    pub(crate) fn directory(&self) -> &Path {
        self.0.directory.path()
    }

    /// Boots a machine with the services of `table` and waits for its end.
    pub(crate) fn run(&self, emulator: &Emulator, setup: &Setup, table: &[u8]) -> Ended {
        let home = tempfile::tempdir_in(self.0.directory.path()).unwrap();
        let common = self.0.common.get_or_init(|| {
            let path = self.0.directory.path().join("common.cpio");
            image::write_common(&path);
            path
        });
        let initramfs = home.path().join("initramfs");
        image::write(&initramfs, common, table);
        let cpu = self.0.cpus.lock().unwrap().pop();
        let ended = Running::start(emulator, setup, home.path(), &initramfs, cpu).finish(setup);
        self.0.cpus.lock().unwrap().extend(cpu);
        ended
    }
}

struct Running {
    child: Child,
    console: thread::JoinHandle<String>,
    report: thread::JoinHandle<String>,
    began: Instant,
}

impl Running {
    fn start(emulator: &Emulator, setup: &Setup, home: &Path, initramfs: &Path, cpu: Option<usize>) -> Self {
        // No core of a guest that panics; no machine without the test that booted it.
        let mut command = Command::new("prlimit");
        command.args(["--core=0", "setpriv", "--pdeathsig", "KILL"]);
        if let Some(cpu) = cpu {
            command.args(["taskset", "--cpu-list", &cpu.to_string()]);
        }
        emulator.complete(&mut command, setup, home, initramfs);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().expect("prlimit, from Debian's util-linux");
        let console = read(child.stdout.take().unwrap(), setup.console);
        let report = read(child.stderr.take().unwrap(), Reader::Stays);
        Self { child, console, report, began }
    }

    fn finish(mut self, setup: &Setup) -> Ended {
        let mut late = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.began.elapsed() > setup.within && !late {
                late = true;
                self.child.kill().unwrap();
            }
            thread::sleep(LOOK);
        };
        let took = self.began.elapsed();
        let (console, report) = (self.console.join().unwrap(), self.report.join().unwrap());
        Ended { console, report, status, took, late }
    }
}

impl Ended {
    /// As it is, if the scenario passed in there and the machine switched itself off.
    pub(crate) fn passed(self) -> Self {
        let lines = || self.report.lines().filter(|line| line.starts_with(REPORT));
        let passed = lines().next_back() == Some(PASSED);
        assert!(!self.late, "the machine did not end\n{}", self.words());
        assert!(passed, "{}", self.words());
        assert!(self.status.success(), "{}\n{}", self.status, self.words());
        self
    }

    /// What it said, for people.
    pub(crate) fn words(&self) -> String {
        let Self { console, report, took, .. } = self;
        format!("--- after {took:?}, its console:\n{console}--- and its report:\n{report}")
    }
}

/// Reads a machine's words as `reader` does.
fn read(mut pipe: impl Read + Send + 'static, reader: Reader) -> thread::JoinHandle<String> {
    let most = match reader {
        Reader::Stays => usize::MAX,
        Reader::StopsAfter(most) | Reader::LeavesAfter(most) => most,
    };
    thread::spawn(move || {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while all.len() < most {
            match pipe.read(&mut buffer) {
                Ok(len @ 1..) => all.extend(&buffer[..len]),
                _ => break,
            }
        }
        if matches!(reader, Reader::StopsAfter(_)) {
            // It stays open as long as this program lives.
            std::mem::forget(pipe);
        }
        String::from_utf8_lossy(&all).replace('\r', "")
    })
}

/// The CPUs that this program may run on.
fn allowed_cpus() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let range = |range: &str| {
        let (first, last) = range.trim().split_once('-').unwrap_or((range.trim(), range.trim()));
        first.parse().ok().zip(last.parse().ok()).map(|(first, last): (usize, usize)| first..=last)
    };
    list.split(',').filter_map(range).flatten().collect()
}
