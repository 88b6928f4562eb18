//! Progress: what is being done, how far it is, and what came from the store.
//!
//! One `Task` per thing that takes time. A terminal gets bars (indicatif) on stderr; a pipe gets
//! plain lines on stderr, one when a task ends and one every ten seconds of a long one; `--json`
//! gets one object per line on stdout. Nothing here decides what is done.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

/// A long task says something this often on a pipe.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// A task's JSON progress comes at most this often.
const JSON_EVERY: Duration = Duration::from_millis(500);

/// Where progress goes. Clones talk to the same place.
#[derive(Debug, Clone)]
pub struct Progress {
    mode: Arc<Mode>,
}

#[derive(Debug)]
enum Mode {
    Bars(MultiProgress),
    Lines,
    Json,
    Silent,
}

/// How much a task has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes.
    Bytes(u64),
    /// So many steps.
    Steps(u64),
    /// Nobody knows.
    Unknown,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, with a word on it (such as why the store could not answer); may be empty.
    Done(String),
    /// The store had it already.
    FromStore,
    /// It failed; the error itself is reported by whoever ends the command.
    Failed,
}

/// Whether a task is worth a line of its own on a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    Main,
    Detail,
}

/// Something that takes time. Dropped without `finish`, it counts as failed.
#[derive(Debug)]
pub struct Task {
    progress: Progress,
    verb: String,
    name: String,
    amount: Amount,
    rank: Rank,
    bar: Option<ProgressBar>,
    started: Instant,
    done: AtomicU64,
    /// Milliseconds after `started` at which the last line or object was printed.
    said: AtomicU64,
    finished: bool,
}

impl Progress {
    /// Bars on a terminal, lines on a pipe, objects when asked for JSON.
    #[must_use]
    pub fn for_this_terminal(json: bool) -> Self {
        let mode = if json {
            Mode::Json
        } else if std::io::stderr().is_terminal() {
            Mode::Bars(MultiProgress::new())
        } else {
            Mode::Lines
        };
        Self { mode: Arc::new(mode) }
    }

    /// Says nothing: for tests.
    #[must_use]
    pub fn silent() -> Self {
        Self { mode: Arc::new(Mode::Silent) }
    }

    /// Starts a task, such as `("build", "etcd")`.
    pub fn task(&self, verb: &str, name: &str, amount: Amount) -> Task {
        self.start(verb, name, amount, Rank::Main)
    }

    /// Starts a part of a task: shown on a terminal and in JSON, too small for a line on a pipe.
    pub fn detail(&self, verb: &str, name: &str, amount: Amount) -> Task {
        self.start(verb, name, amount, Rank::Detail)
    }

    fn start(&self, verb: &str, name: &str, amount: Amount, rank: Rank) -> Task {
        let bar = match &*self.mode {
            Mode::Bars(bars) => Some(bars.add(bar(verb, name, amount))),
            Mode::Json => {
                emit(&json!({"event": "started", "task": verb, "name": name, "total": total(amount)}));
                None
            }
            Mode::Lines | Mode::Silent => None,
        };
        Task {
            progress: self.clone(),
            verb: verb.to_owned(),
            name: name.to_owned(),
            amount,
            rank,
            bar,
            started: Instant::now(),
            done: AtomicU64::new(0),
            said: AtomicU64::new(0),
            finished: false,
        }
    }

    /// A line for people between the tasks.
    pub fn note(&self, text: &str) {
        match &*self.mode {
            Mode::Bars(bars) => bars.suspend(|| talk(text)),
            Mode::Lines => talk(text),
            Mode::Json => emit(&json!({"event": "note", "text": text})),
            Mode::Silent => {}
        }
    }

    /// The error that ends the command.
    pub fn error(&self, text: &str) {
        if let Mode::Json = &*self.mode {
            emit(&json!({"event": "error", "text": text}));
        }
        self.complain(text);
    }

    /// The same for people only.
    pub fn complain(&self, text: &str) {
        match &*self.mode {
            Mode::Bars(bars) => {
                let _ = bars.clear();
                talk(&format!("error: {text}"));
            }
            Mode::Lines | Mode::Json => talk(&format!("error: {text}")),
            Mode::Silent => {}
        }
    }

    /// A writer for log lines that does not tear the bars.
    #[must_use]
    pub fn log_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }
}

impl Task {
    /// So much more is done.
    pub fn advance(&self, by: u64) {
        let done = self.done.fetch_add(by, Ordering::Relaxed).saturating_add(by);
        self.show(done);
    }

    /// So much is done in all.
    pub fn set(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.show(done);
    }

    /// What it is at, for people.
    pub fn message(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    fn show(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let every = match (&*self.progress.mode, self.rank) {
            (Mode::Lines, Rank::Main) => LINE_EVERY,
            (Mode::Json, _) => JSON_EVERY,
            _ => return,
        };
        let now = millis(self.started.elapsed());
        let said = self.said.load(Ordering::Relaxed);
        if now.saturating_sub(said) < millis(every)
            || self.said.compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        if matches!(*self.progress.mode, Mode::Json) {
            let (task, name, total) = (&self.verb, &self.name, total(self.amount));
            emit(&json!({"event": "progress", "task": task, "name": name, "done": done, "total": total}));
        } else {
            talk(&format!("{} {}: {}", self.verb, self.name, how_far(done, self.amount)));
        }
    }

    /// It has ended.
    pub fn finish(mut self, outcome: Outcome) {
        self.end(&outcome);
    }

    fn end(&mut self, outcome: &Outcome) {
        self.finished = true;
        let seconds = self.started.elapsed().as_secs_f64();
        let (word, why) = match outcome {
            Outcome::Done(why) => ("done", why.as_str()),
            Outcome::FromStore => ("from-store", ""),
            Outcome::Failed => ("failed", ""),
        };
        let line = || {
            let mut line = format!("{} {}: ", self.verb, self.name);
            line += &match outcome {
                Outcome::Done(why) if why.is_empty() => format!("done in {seconds:.1} s"),
                Outcome::Done(why) => format!("{why}, {seconds:.1} s"),
                Outcome::FromStore => "from the store".to_owned(),
                Outcome::Failed => format!("failed after {seconds:.1} s"),
            };
            line
        };
        match (&*self.progress.mode, &self.bar) {
            (Mode::Bars(bars), Some(bar)) => {
                bar.finish_and_clear();
                if self.rank == Rank::Main {
                    bars.suspend(|| talk(&line()));
                }
            }
            (Mode::Lines, _) if self.rank == Rank::Main => talk(&line()),
            (Mode::Json, _) => emit(&json!({
                "event": "finished", "task": self.verb, "name": self.name,
                "outcome": word, "why": why, "seconds": seconds,
            })),
            _ => {}
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.finished {
            self.end(&Outcome::Failed);
        }
    }
}

/// A `tracing` writer: whole lines to stderr, around the bars.
#[derive(Debug, Clone)]
pub struct LogWriter(Progress);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &*self.0.mode {
            Mode::Bars(bars) => bars.suspend(|| std::io::stderr().write_all(bytes))?,
            _ => std::io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

fn bar(verb: &str, name: &str, amount: Amount) -> ProgressBar {
    let (bar, template) = match amount {
        Amount::Bytes(total) => (
            ProgressBar::new(total),
            "{prefix:28!} {bar:24} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12} {wide_msg}",
        ),
        Amount::Steps(total) => {
            (ProgressBar::new(total), "{prefix:28!} {bar:24} {pos:>6} of {len:<6} {wide_msg}")
        }
        Amount::Unknown => (ProgressBar::new_spinner(), "{prefix:28!} {spinner} {elapsed:>5} {wide_msg}"),
    };
    // A template that does not parse would be a mistake in this file: the default style will do.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bar.with_style(style).with_prefix(format!("{verb} {name}"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn total(amount: Amount) -> Option<u64> {
    match amount {
        Amount::Bytes(total) | Amount::Steps(total) => Some(total),
        Amount::Unknown => None,
    }
}

fn how_far(done: u64, amount: Amount) -> String {
    match amount {
        Amount::Bytes(total) => format!("{} of {}", HumanBytes(done), HumanBytes(total)),
        Amount::Steps(total) => format!("{done} of {total}"),
        Amount::Unknown => "still at it".to_owned(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Talk that nobody reads (a closed pipe) is no reason to stop.
fn talk(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn emit(object: &serde_json::Value) {
    let _ = writeln!(std::io::stdout(), "{object}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_download_is_reads_in_human_units() {
        assert_eq!(how_far(1024, Amount::Bytes(2048)), "1.00 KiB of 2.00 KiB");
        assert_eq!(how_far(3, Amount::Steps(4)), "3 of 4");
    }
}
