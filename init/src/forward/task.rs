//! The process: one connection after the other, each from the last line that was confirmed.
//!
//! What was confirmed is written down once per second, so that a forwarder that is started anew goes on where it was;
//! a copy on disk, for the next boot, is made by a thread of its own, so that a disk that hangs does not keep from the
//! server what is said about it. Nothing here keeps a service, logd or PID 1 waiting.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use machine_config::machine::SyslogServer;

use super::ledger::Ledger;
use super::link::{Link, LinkError};
use super::syslog;
use crate::agent::notify::Notifier;
use crate::agent::{self, files};
use crate::logd::client::{self, Answers};
use crate::logd::query::{self, Boots, Reply, Wanted};
use crate::logd::record::{Flags, Line};

/// Between attempts to connect: doubled each time, up to the last.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a server may confirm nothing of what it was sent.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);
/// How often the connection is looked after, and the ledger written down.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the ledger is copied to the disk: so much of what was sent before a crash is sent again.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// So much is sent at once when there is much.
const BATCH: usize = 32 * 1024;
/// Lines on their way that are not confirmed: a bound on the ledger.
const UNCONFIRMED_LINES: usize = 10_000;

/// Where the ledger is: apid counts what is lost by it.
pub const LEDGER: &str = "/run/slipway/log-forward/ledger";
/// Where its copy is, in the next boot.
const KEPT: &str = "/state/log-forward/ledger";

/// What the words say.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    to: Option<SyslogServer>,
    authority: Option<PathBuf>,
    host: String,
    logs: PathBuf,
    ledger: PathBuf,
    kept: PathBuf,
}

fn parse(words: &[String]) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        to: None,
        authority: None,
        host: "-".to_owned(),
        logs: query::SOCKET.into(),
        ledger: LEDGER.into(),
        kept: KEPT.into(),
    };
    for pair in words.chunks(2) {
        let [word, value] = pair else { return Err(format!("{} needs a value", pair.join(" "))) };
        match word.as_str() {
            "--to" => arguments.to = Some(value.clone().try_into()?),
            "--ca" => arguments.authority = Some(value.into()),
            "--host" => arguments.host.clone_from(value),
            "--logs" => arguments.logs = value.into(),
            "--ledger" => arguments.ledger = value.into(),
            "--kept" => arguments.kept = value.into(),
            _ => return Err(format!("{word} is unknown")),
        }
    }
    if arguments.to.as_ref().is_some_and(|to| to.tls) && arguments.authority.is_none() {
        return Err("tls:// needs --ca".to_owned());
    }
    Ok(arguments)
}

/// Forwards lines for ever; without a server it waits for the machine's next configuration.
#[must_use]
pub fn main(words: &[String]) -> ExitCode {
    agent::log_to_stdout();
    let arguments = match parse(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            tracing::error!(
                error,
                "usage: init log-forward [--to tcp://HOST:PORT|tls://HOST:PORT] [--ca FILE] [--host NAME] [--logs PATH] [--ledger FILE] [--kept FILE]"
            );
            return ExitCode::from(2);
        }
    };
    let mut notifier = Notifier::from_environment();
    notifier.ready();
    let Some(server) = &arguments.to else {
        notifier.status("the machine's config names no syslog server");
        loop {
            thread::park();
        }
    };
    // The first is this boot's. What is unreadable was written by nobody of us: all of this boot is sent.
    let text = fs::read_to_string(&arguments.ledger).or_else(|_| fs::read_to_string(&arguments.kept));
    let mut ledger = Ledger::from_text(&text.unwrap_or_default());
    let (from, to) = (arguments.ledger.clone(), arguments.kept.clone());
    thread::spawn(move || keep(&from, &to));
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        let error = match forward(&arguments, server, &mut ledger, &mut notifier) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if began.elapsed() > LONGEST_PAUSE {
            pause = PAUSE;
        }
        notifier.problem(&format!("forwarding logs: {}", agent::chain(&error)));
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("reading lines from logd")]
    Logd(#[source] io::Error),
    #[error("logd refuses: {0}")]
    Refused(String),
    #[error("the server has confirmed nothing for {} s", CONFIRM_WITHIN.as_secs())]
    Silent,
}

/// Sends lines as long as both ends are there.
fn forward(
    arguments: &Arguments,
    server: &SyslogServer,
    ledger: &mut Ledger,
    notifier: &mut Notifier,
) -> Result<std::convert::Infallible, ForwardError> {
    let link = Link::connect(server, arguments.authority.as_deref())?;
    ledger.reconnected();
    let boot = ledger.boot().map_or(Boots::Current, Boots::Since);
    let wanted = Wanted { boot, follow: true, after: ledger.after(), ..Wanted::default() };
    let mut answers = client::lines(&arguments.logs, wanted).map_err(ForwardError::Logd)?;
    notifier.status(&format!("logs are forwarded to {}", String::from(server.clone())));
    let mut sender = Sender {
        link,
        host: &arguments.host,
        ledger,
        batch: Vec::new(),
        lines: 0,
        confirmed_at: Instant::now(),
    };
    let mut written_at = Instant::now();
    loop {
        if sender.is_full() || !answers.has_more() {
            sender.flush()?;
            if written_at.elapsed() >= LOOK_EVERY {
                written_at = Instant::now();
                write_down(&arguments.ledger, sender.ledger);
                for (service, lines) in sender.ledger.take_untold() {
                    tracing::warn!(service, lines, "lines are gone that the server never got");
                }
            }
            if !wait(&mut answers)? {
                continue;
            }
        }
        match answers.next() {
            Some(Ok(Reply::Line(line))) => sender.add(&line),
            // Seen by the numbers, too, and so also from one connection to the next.
            Some(Ok(Reply::Missed { .. } | Reply::Counters(_))) => {}
            Some(Ok(Reply::Refused(why))) => return Err(ForwardError::Refused(why)),
            Some(Err(error)) => return Err(ForwardError::Logd(error)),
            None => return Err(ForwardError::Logd(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

fn wait(answers: &mut Answers) -> Result<bool, ForwardError> {
    answers.wait(LOOK_EVERY).map_err(ForwardError::Logd)
}

/// Losing it costs lines that come twice after our own restart, no more.
fn write_down(path: &Path, ledger: &Ledger) {
    if let Err(error) = files::replace(path, ledger.to_text().as_bytes(), 0o644) {
        tracing::warn!(error = agent::chain(&error), "writing down what was forwarded");
    }
}

/// Copies the ledger for the next boot, for ever.
fn keep(from: &Path, to: &Path) {
    let mut is_kept = true;
    loop {
        // Nothing was confirmed yet.
        let Ok(text) = fs::read(from) else {
            thread::sleep(LOOK_EVERY);
            continue;
        };
        let kept = files::replace(to, &text, 0o600);
        // Said once: the disk has its own words for it.
        if let Err(error) = &kept
            && is_kept
        {
            tracing::warn!(error = agent::chain(error), "keeping for the next boot what was forwarded");
        }
        is_kept = kept.is_ok();
        thread::sleep(KEEP_EVERY);
    }
}

struct Sender<'a> {
    link: Link,
    host: &'a str,
    ledger: &'a mut Ledger,
    batch: Vec<u8>,
    lines: usize,
    /// When the server last confirmed something, or owed nothing.
    confirmed_at: Instant,
}

impl Sender<'_> {
    fn add(&mut self, line: &Line) {
        let before = self.batch.len();
        let gap = self.ledger.gap(line.boot, &line.service, line.number);
        if gap > 0 {
            let text = format!("log-forward: {gap} lines are gone that the server never got");
            let flags = Flags { dropped: gap, ..Flags::default() };
            let notice = Line { text: text.into_bytes(), flags, ..line.clone() };
            syslog::append(&mut self.batch, self.host, &notice);
        }
        syslog::append(&mut self.batch, self.host, line);
        self.ledger.sent(line.boot, &line.service, line.number, self.batch.len() - before);
        self.lines += 1;
    }

    fn is_full(&self) -> bool {
        self.batch.len() >= BATCH || self.lines >= UNCONFIRMED_LINES
    }

    /// Sends what there is and settles what is confirmed.
    fn flush(&mut self) -> Result<(), ForwardError> {
        if !self.batch.is_empty() {
            self.link.send(&self.batch)?;
            self.batch.clear();
        }
        loop {
            if self.ledger.settle(self.link.unconfirmed()?) || self.ledger.is_settled() {
                self.confirmed_at = Instant::now();
            }
            if self.confirmed_at.elapsed() > CONFIRM_WITHIN {
                return Err(ForwardError::Silent);
            }
            self.lines = self.ledger.open();
            if self.lines < UNCONFIRMED_LINES {
                return Ok(());
            }
            // A server that does not keep up: logd's rings wait, nobody else does.
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn an_overlay_without_words_means_that_nothing_is_forwarded() {
        assert_eq!(parse(&[]).unwrap().to, None);
    }

    #[test]
    fn a_server_by_tls_needs_an_authority() {
        assert!(parse(&words("--to tls://logs:6514")).is_err());
        let arguments = parse(&words("--to tls://logs:6514 --ca /ca.crt --host cp1")).unwrap();
        assert_eq!((arguments.host.as_str(), arguments.to.unwrap().port), ("cp1", 6514));
        assert!(parse(&words("--to udp://logs:514")).is_err());
    }
}
