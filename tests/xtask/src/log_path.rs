//! `cargo xtask log-path`: how fast lines go from a service's pipe to their rings.
//!
//! The real `init logd` beside s6-log (Debian's package s6) and cat, with the same pipe, the
//! same lines of 100 bytes and a tmpfs to write to. Bulk is a service that writes 64 KiB at once,
//! line one that writes every line by itself. A logger that is not installed is left out, and said so.

use std::fs;
use std::io::{self, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;

/// A line, its end included.
const LINE: usize = 100;
/// What PID 1 gives a service's pipe.
const PIPE: i32 = 1024 * 1024;

/// Measure the way of lines from a pipe to their rings
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The init to measure, as it is in an image (`cargo build --profile image -p init`)
    #[arg(long, default_value = "target/image/init")]
    init: PathBuf,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Who takes the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logger {
    Logd,
    Cat,
    S6 { stamps: bool },
}

/// How the service writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Bulk,
    Line,
}

/// A logger's median.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Whose.
    pub logger: String,
    /// How the service wrote.
    pub writing: &'static str,
    /// Megabytes per second, from the first write to the last byte stored.
    pub mb_per_second: f64,
    /// Milliseconds of CPU that a mebibyte took the logger.
    pub cpu_ms_per_mib: f64,
    /// Times s6-log with stamps.
    pub times_s6: Option<f64>,
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    let rows = measure(&args.init, args.runs, &["s6-log".to_owned()])?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("{:<10} {:<5} {:>7} {:>11} {:>9}", "logger", "write", "MB/s", "CPU ms/MiB", "x s6-log t");
    for row in rows {
        let times = row.times_s6.map_or_else(String::new, |times| format!("{times:.1}"));
        println!(
            "{:<10} {:<5} {:>7.0} {:>11.2} {times:>9}",
            row.logger, row.writing, row.mb_per_second, row.cpu_ms_per_mib
        );
    }
    Ok(())
}

/// How s6-log is started out of a root directory that is not ours: by the loader and libraries in there.
pub fn s6_log_of(root: &Path) -> Vec<String> {
    let path = |below: &str| root.join(below).to_string_lossy().into_owned();
    vec![
        path("usr/lib64/ld-linux-x86-64.so.2"),
        "--library-path".to_owned(),
        path("usr/lib/x86_64-linux-gnu"),
        path("usr/bin/s6-log"),
    ]
}

/// Measures every logger that is there; runs take turns, so that a busy moment hits all of them.
pub fn measure(init: &Path, runs: usize, s6_log: &[String]) -> Result<Vec<Row>> {
    let mut loggers = vec![Logger::Logd, Logger::Cat];
    if program(s6_log).stdin(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
        loggers.extend([Logger::S6 { stamps: false }, Logger::S6 { stamps: true }]);
    } else {
        eprintln!("s6-log is not installed and left out (Debian: s6)");
    }
    let mut rows = Vec::new();
    for writing in [Writing::Bulk, Writing::Line] {
        let mut found = vec![Vec::new(); loggers.len()];
        for _ in 0..runs {
            for (logger, found) in loggers.iter().zip(&mut found) {
                found.push(once(*logger, writing, init, s6_log)?);
            }
        }
        let medians: Vec<(f64, f64)> = found.iter_mut().map(|found| median(found)).collect();
        let stamps = loggers.iter().position(|logger| *logger == Logger::S6 { stamps: true });
        let s6 = stamps.and_then(|place| medians.get(place)).map(|(speed, _)| *speed);
        for (logger, (speed, cpu)) in loggers.iter().zip(&medians) {
            rows.push(Row {
                logger: logger.name().to_owned(),
                writing: if writing == Writing::Bulk { "bulk" } else { "line" },
                mb_per_second: *speed,
                cpu_ms_per_mib: *cpu,
                times_s6: s6.map(|s6| speed / s6),
            });
        }
    }
    Ok(rows)
}

impl Logger {
    fn name(self) -> &'static str {
        match self {
            Self::Logd => "logd",
            Self::Cat => "cat",
            Self::S6 { stamps: false } => "s6-log",
            Self::S6 { stamps: true } => "s6-log t",
        }
    }

    fn command(self, init: &Path, dir: &Path, s6_log: &[String]) -> Result<Command> {
        let disk = dir.join("disk");
        match self {
            // Limit far away, rotation within 16 MiB.
            Self::Logd => {
                let mut command = Command::new(init);
                command.args(["logd", "--pipe", "0=bench,4000000000,4000000000,16", "--memory"]);
                command.arg(dir.join("memory")).arg("--disk").arg(&disk);
                command.arg("--socket").arg(dir.join("logs"));
                Ok(command)
            }
            Self::Cat => {
                let mut command = Command::new("cat");
                command.stdout(fs::File::create(&disk).context("making cat's file")?);
                Ok(command)
            }
            Self::S6 { stamps } => {
                let mut command = program(s6_log);
                command
                    .args(if stamps { &["t", "n8", "s2097152"][..] } else { &["n8", "s2097152"] })
                    .arg(&disk);
                Ok(command)
            }
        }
    }
}

fn program(words: &[String]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command.args(words);
    command
}

/// Megabytes per second and milliseconds of CPU per mebibyte.
fn once(logger: Logger, writing: Writing, init: &Path, s6_log: &[String]) -> Result<(f64, f64)> {
    let bytes = match writing {
        Writing::Bulk => 512 * 1024 * 1024,
        Writing::Line => 100 * 1024 * 1024,
    };
    let dir = PathBuf::from(format!("/dev/shm/slipway-log-path-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let result = run_in(logger, writing, bytes, || logger.command(init, &dir, s6_log));
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    let (wall, cpu) = result?;
    Ok((bytes as f64 / 1e6 / wall.as_secs_f64(), cpu.as_secs_f64() * 1e3 / (bytes as f64 / 1_048_576.0)))
}

fn run_in(
    logger: Logger,
    writing: Writing,
    bytes: usize,
    command: impl FnOnce() -> Result<Command>,
) -> Result<(Duration, Duration)> {
    let (read, write) = io::pipe().context("making a pipe")?;
    fcntl(&read, FcntlArg::F_SETPIPE_SZ(PIPE)).context("enlarging the pipe")?;
    let mut command = command()?;
    let before = children_cpu()?;
    let mut child =
        command.stdin(OwnedFd::from(read)).spawn().with_context(|| format!("starting {}", logger.name()))?;
    drop(command);
    // Starting is not what is measured.
    thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    let written = thread::spawn(move || service(write, writing, bytes)).join();
    let Ok(written) = written else { bail!("the writer panicked") };
    written.with_context(|| format!("writing to {}", logger.name()))?;
    let status = child.wait().context("waiting")?;
    let wall = began.elapsed();
    ensure!(status.success(), "{} ended with {status}", logger.name());
    Ok((wall, children_cpu()?.saturating_sub(before)))
}

fn service(mut pipe: PipeWriter, writing: Writing, bytes: usize) -> io::Result<()> {
    let mut line = [b'x'; LINE];
    line[LINE - 1] = b'\n';
    let chunk = match writing {
        // Lines do not end where writes do.
        Writing::Bulk => line.iter().copied().cycle().take(64 * 1024).collect(),
        Writing::Line => line.to_vec(),
    };
    let mut left = bytes;
    while left > 0 {
        let n = left.min(chunk.len());
        pipe.write_all(&chunk[..n])?;
        left -= n;
    }
    Ok(())
}

fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("asking for CPU time")?;
    let micros = [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec())
        .sum::<i64>();
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

/// The median of each figure by itself.
fn median(found: &mut [(f64, f64)]) -> (f64, f64) {
    let middle = found.len() / 2;
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let speed = found.get(middle).map_or(0.0, |found| found.0);
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    (speed, found.get(middle).map_or(0.0, |found| found.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_own_median() {
        assert_eq!(median(&mut [(3.0, 1.0), (1.0, 2.0), (2.0, 9.0)]), (2.0, 2.0));
    }
}
