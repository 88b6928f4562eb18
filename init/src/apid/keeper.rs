//! The machine's logs as apid reads them: from logd, over its socket.
//!
//! The API's words in logd's and back. Bytes become text here, and only here; what was lost because this reader was
//! too slow is a line like any other loss.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use node_api::reply::LogLine;
use node_api::request::{Failure, LogQuery};

use super::logs::{Counters, LogReader, Logs, Next};
use crate::agent::files;
use crate::forward;
use crate::logd::client::{self, Answers};
use crate::logd::query::{self, Boots, Reply, Wanted};
use crate::logd::record::{BootId, Line};

/// How long a reader waits for a line before it looks whether its client is still there.
const WAIT: Duration = Duration::from_secs(1);

/// More than the forwarder's ledger is: a line for each service.
const LEDGER_MAX: u64 = 64 * 1024;

/// logd at its socket, and what the forwarder has written down.
#[derive(Debug)]
pub struct Keeper {
    socket: PathBuf,
    ledger: PathBuf,
}

impl Keeper {
    /// Nothing is connected before there is a question.
    #[must_use]
    pub fn new(socket: &Path, ledger: &Path) -> Self {
        Self { socket: socket.to_owned(), ledger: ledger.to_owned() }
    }
}

impl Logs for Keeper {
    fn open(&self, query: &LogQuery) -> Result<Box<dyn LogReader>, String> {
        let answers =
            client::lines(&self.socket, wanted(query)?).map_err(|error| format!("asking logd: {error}"))?;
        let mut reader = Reader { answers, first: None };
        // A refusal comes first or never: here it still becomes an answer of its own.
        reader.first = Some(reader.receive()?);
        Ok(Box::new(reader))
    }

    fn counters(&self) -> Result<Vec<Counters>, String> {
        let counters = client::counters(&self.socket).map_err(|error| format!("asking logd: {error}"))?;
        // Where nothing is forwarded, nothing is lost by it.
        let ledger = files::read_text(&self.ledger, LEDGER_MAX).unwrap_or_default();
        Ok(counters.into_iter().map(|counters| counted(counters, &ledger)).collect())
    }
}

struct Reader {
    answers: Answers,
    first: Option<Next>,
}

impl LogReader for Reader {
    fn next(&mut self) -> Result<Next, String> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => self.receive(),
        }
    }
}

impl Reader {
    fn receive(&mut self) -> Result<Next, String> {
        let broken = |error| format!("reading from logd: {error}");
        if !self.answers.wait(WAIT).map_err(broken)? {
            return Ok(Next::Nothing);
        }
        match self.answers.next().transpose().map_err(broken)? {
            None => Ok(Next::End),
            Some(Reply::Line(line)) => Ok(Next::Line(shown(line))),
            Some(Reply::Missed { service, lines }) => Ok(Next::Line(missed(service, lines))),
            Some(Reply::Refused(why)) => Err(why),
            Some(Reply::Counters(_)) => Err("logd answered something else than it was asked".to_owned()),
        }
    }
}

/// The API's question in logd's words.
fn wanted(query: &LogQuery) -> Result<Wanted, String> {
    let boot = match query.boot.as_deref() {
        // What was set apart is of this boot.
        None if query.failure.is_some() => Boots::Current,
        None => Boots::All,
        Some("current") => Boots::Current,
        Some(text) => match (text.parse(), BootId::parse(text)) {
            (Ok(0), _) => Boots::Current,
            (Ok(ago), _) => Boots::Ago(ago),
            (_, Some(id)) => Boots::Id(id),
            _ => return Err(format!("{text:?} is no boot: an id, `current`, or how many boots ago")),
        },
    };
    let since = match query.since.as_deref().map(str::parse::<Timestamp>) {
        None => None,
        Some(Ok(moment)) => Some(u64::try_from(moment.as_microsecond()).unwrap_or(0)),
        Some(Err(error)) => return Err(format!("since: {error}")),
    };
    let most = u64::from(query::TAIL_MAX);
    Ok(Wanted {
        service: query.service.clone(),
        since,
        boot,
        grep: query.grep.clone().map(String::into_bytes),
        follow: query.follow,
        tail: query.tail.map(|lines| u32::try_from(lines.min(most)).unwrap_or(query::TAIL_MAX)),
        failure: query.failure.map(|failure| match failure {
            Failure::First => query::Failure::First,
            Failure::Latest => query::Failure::Latest,
        }),
        after: Vec::new(),
    })
}

fn shown(line: Line) -> LogLine {
    let micros = i64::try_from(line.realtime_us).unwrap_or(i64::MAX);
    LogLine {
        time: Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX).to_string(),
        at_ms: line.monotonic_ms,
        boot: line.boot.to_string(),
        number: line.number,
        text: String::from_utf8_lossy(&line.text).into_owned(),
        cut: line.flags.cut,
        continued: line.flags.continued,
        dropped: line.flags.dropped,
        service: line.service,
    }
}

fn missed(service: String, lines: u64) -> LogLine {
    LogLine {
        service,
        time: Timestamp::now().to_string(),
        at_ms: 0,
        boot: String::new(),
        number: 0,
        text: "lines that this reader was too slow for".to_owned(),
        cut: false,
        continued: false,
        dropped: lines,
    }
}

fn counted(counters: query::Counters, ledger: &str) -> Counters {
    Counters {
        lines: counters.lines,
        dropped: vec![
            ("limit", counters.dropped_limit),
            ("memory", counters.dropped_memory),
            ("disk", counters.dropped_disk),
            ("kernel", counters.dropped_kernel),
            ("forward", forward::lost(ledger, &counters.service)),
        ],
        service: counters.service,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_are_told_by_name_by_number_and_by_id() {
        let boot = |text: Option<&str>| {
            wanted(&LogQuery { boot: text.map(str::to_owned), ..LogQuery::default() })
                .map(|wanted| wanted.boot)
        };
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(boot(None).unwrap(), Boots::All);
        assert_eq!(boot(Some("current")).unwrap(), Boots::Current);
        assert_eq!(boot(Some("2")).unwrap(), Boots::Ago(2));
        assert_eq!(boot(Some(id)).unwrap(), Boots::Id(BootId::parse(id).unwrap()));
        assert!(boot(Some("last")).is_err());
    }

    #[test]
    fn what_the_syslog_server_never_got_is_a_loss_with_its_reason() {
        let counters = query::Counters { service: "a".to_owned(), dropped_limit: 1, ..Default::default() };
        let dropped = counted(counters.clone(), "boot 01\na 7 5\nb - 2\n").dropped;
        assert_eq!((dropped[0], dropped.last()), (("limit", 1), Some(&("forward", 5))));
        assert_eq!(counted(counters, "").dropped.last(), Some(&("forward", 0)));
    }

    #[test]
    fn what_is_no_text_is_shown_as_far_as_it_is() {
        let line = Line {
            service: "etcd".to_owned(),
            realtime_us: 1_500_000,
            monotonic_ms: 7,
            boot: BootId([1; 16]),
            number: 3,
            text: b"a\xffb".to_vec(),
            flags: crate::logd::record::Flags::default(),
        };
        let shown = shown(line);
        assert_eq!((shown.text.as_str(), shown.time.as_str()), ("a\u{fffd}b", "1970-01-01T00:00:01.5Z"));
        assert_eq!(shown.boot, "01".repeat(16));
    }
}
