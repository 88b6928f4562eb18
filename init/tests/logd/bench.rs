//! logd on a bench: pipes, directories, a process that can be stopped and started.
//!
//! Pipes are its stdin, stdout and stderr, since a child has no others; that makes three services at most.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use init::logd::client;
use init::logd::query::{Reply, Wanted};
use init::logd::record::Line;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Bench {
    dir: tempfile::TempDir,
    pipes: Vec<(PipeReader, PipeWriter)>,
    words: Vec<String>,
    logd: Option<Child>,
    disk: Option<fs::File>,
}

impl Bench {
    /// Pipes for `services`; `first`, if not empty, is the first pipe's word.
    pub fn new(services: &[&str], first: &str) -> Self {
        let mut words: Vec<_> = services.iter().enumerate().map(|(n, name)| format!("{n}={name}")).collect();
        if !first.is_empty() {
            words[0] = first.to_owned();
        }
        let pipes = services.iter().map(|_| io::pipe().unwrap()).collect();
        Self { dir: tempfile::tempdir().unwrap(), pipes, words, logd: None, disk: None }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.dir().join("logs")
    }

    pub fn pipe(&self, n: usize) -> &PipeWriter {
        &self.pipes[n].1
    }

    pub fn write(&self, n: usize, bytes: &[u8]) {
        self.pipe(n).write_all(bytes).unwrap();
    }

    pub fn start(&mut self) {
        let disk = self.dir().join("disk");
        let mut command = Command::new(env!("CARGO_BIN_EXE_init"));
        command.args(self.words(&disk));
        self.spawn(command);
    }

    fn words(&self, disk: &Path) -> Vec<String> {
        let mut words = vec!["logd".to_owned()];
        for word in &self.words {
            words.extend(["--pipe".to_owned(), word.clone()]);
        }
        for (word, path) in [
            ("--memory", self.dir().join("memory")),
            ("--disk", disk.to_owned()),
            ("--socket", self.socket()),
        ] {
            words.extend([word.to_owned(), path.display().to_string()]);
        }
        words
    }

    fn spawn(&mut self, mut command: Command) {
        // A socket that is there is a former logd's.
        let _ = fs::remove_file(self.socket());
        let end = |n: usize| match self.pipes.get(n) {
            Some((read, _)) => Stdio::from(read.try_clone().unwrap()),
            None => Stdio::inherit(),
        };
        let child = command.stdin(end(0)).stdout(end(1)).stderr(end(2)).spawn().unwrap();
        self.logd = Some(child);
        let socket = self.socket();
        wait_for(|| client::counters(&socket).ok());
    }

    /// Starts it with a disk of its own of so many bytes; false if that is not possible here.
    pub fn start_with_disk_of(&mut self, size: &str) -> bool {
        let disk = self.dir().join("disk");
        fs::create_dir(&disk).unwrap();
        let possible =
            Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success());
        if possible {
            let script = r#"mount -t tmpfs -o size=$1 none "$2" && shift 2 && exec "$@""#;
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", script, "sh", size]).arg(&disk);
            command.arg(env!("CARGO_BIN_EXE_init")).args(self.words(&disk));
            self.spawn(command);
        }
        possible
    }

    pub fn enlarge_disk(&self, size: &str) {
        let script = r#"mount -o remount,size=$1 "$2""#;
        let pid = self.pid().to_string();
        let entered = Command::new("nsenter")
            .args(["-U", "-m", "--preserve-credentials", "-t", &pid, "sh", "-c", script, "sh", size])
            .arg(self.dir().join("disk"))
            .status();
        assert!(entered.unwrap().success());
    }

    /// The disk as logd sees it.
    pub fn disk_from_outside(&self) -> PathBuf {
        let disk = self.dir().join("disk");
        PathBuf::from(format!("/proc/{}/root", self.pid())).join(disk.strip_prefix("/").unwrap())
    }

    fn pid(&self) -> u32 {
        self.logd.as_ref().unwrap().id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// kill -9, and nobody left.
    pub fn kill(&mut self) {
        if let Some(mut logd) = self.logd.take() {
            let _ = logd.kill();
            logd.wait().unwrap();
        }
    }

    /// An orderly end; the disk as it then is.
    pub fn terminate(&mut self) -> PathBuf {
        // A mount of its own goes with logd, unless somebody holds it.
        let disk = fs::File::open(self.disk_from_outside()).unwrap();
        self.signal("TERM");
        let mut logd = self.logd.take().unwrap();
        wait_for(|| logd.try_wait().unwrap());
        let path = format!("/proc/self/fd/{}", disk.as_raw_fd());
        self.disk = Some(disk);
        path.into()
    }

    pub fn lines(&self, wanted: Wanted) -> Vec<Line> {
        let line = |reply| match reply {
            Ok(Reply::Line(line)) => Some(line),
            Ok(Reply::Missed { .. }) => None,
            other => panic!("{other:?}"),
        };
        client::lines(&self.socket(), wanted).unwrap().filter_map(line).collect()
    }

    /// Asks again until `is_it`.
    pub fn lines_until(&self, wanted: Wanted, is_it: impl Fn(&[Line]) -> bool) -> Vec<Line> {
        wait_for(|| Some(self.lines(wanted.clone())).filter(|lines| is_it(lines)))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until there is an answer.
pub fn wait_for<A>(mut ask: impl FnMut() -> Option<A>) -> A {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "it never came true");
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn numbers(lines: &[Line]) -> Vec<u64> {
    lines.iter().map(|line| line.number).collect()
}
