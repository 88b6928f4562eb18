//! What the verbs have in common that read streams: all machines at once, one stdout.
//!
//! Lines are merged by time while they come; each machine has a few that wait for their turn, and is not read further
//! until they have had it. Whoever keeps the others waiting is not waited for, and its lines come when they come; with
//! `--follow` nobody is waited for. A machine that breaks off is told on stderr. JSON is a line per document, with
//! `machine` added; one that breaks off is a line, too, with `error`.

use std::future::poll_fn;
use std::task::{Context as Task, Poll};

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::print;
use super::table::clean;
use super::whom::Whom;
use super::{Unanswered, runtime};
use crate::cmd::Context;
use crate::node::client::{Connection, Question};
use crate::node::fan::GRACE;
use crate::node::{Machine, Target};

/// Documents of one machine that wait for their turn.
const WAITING: usize = 64;

/// Whether a stream ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Everything that is there.
    Now,
    /// It goes on.
    Stopped,
}

/// How a document is told.
pub(super) struct Telling<T> {
    /// When it happened, to sort by.
    pub time: fn(&T) -> &str,
    /// Its line for people, without the machine's name.
    pub line: fn(&T) -> String,
}

/// Reads `question` from everybody and prints it.
pub(super) fn print<T: Serialize + DeserializeOwned + Send + 'static>(
    whom: &Whom,
    context: &Context,
    question: &Question,
    until: Until,
    telling: &Telling<T>,
) -> Result<()> {
    let target = whom.target()?;
    let names = target.machines.iter().map(|machine| machine.name.chars().count()).max().unwrap_or(0);
    let several = target.machines.len() > 1;
    let show = |machine: &str, document: &T| -> Result<()> {
        if context.json {
            print::line(tagged(machine, document)?)
        } else if several {
            print::line(format_args!("{machine:names$}  {}", clean(&(telling.line)(document))))
        } else {
            print::line(clean(&(telling.line)(document)))
        }
    };
    let mut failed = 0;
    let mut fail = |machine: &str, error: &anyhow::Error| -> Result<()> {
        failed += 1;
        if context.json {
            return print::line(json!({ "machine": machine, "error": format!("{error:#}") }));
        }
        // A refusal is in the machine's own words.
        eprintln!("{machine}: {}", clean(&format!("{error:#}")));
        Ok(())
    };
    runtime()?.block_on(async {
        let mut merged = start::<T>(&target, question, whom, until, telling.time);
        while let Some((machine, piece)) = merged.next().await {
            match piece {
                Ok(document) => show(machine, &document)?,
                Err(error) => fail(machine, &error)?,
            }
        }
        anyhow::Ok(())
    })?;
    match failed {
        0 => Ok(()),
        failed => Err(Unanswered { failed, all: target.machines.len() }.into()),
    }
}

/// What a machine says next.
enum Next<T> {
    /// Not known yet, and the others wait for it.
    Awaited,
    /// Not known yet, and the others go on without it.
    Late,
    /// This, which happened then. What has no moment comes first: that the machine breaks off.
    Known(Option<Timestamp>, Result<T>),
    /// Nothing any more.
    Nothing,
}

/// One machine's documents, in the order in which it tells them: its clock may have been set in between, and what
/// happened in the same microsecond has an order, too.
struct Source<T> {
    machine: String,
    coming: mpsc::Receiver<Result<T>>,
    next: Next<T>,
}

/// All machines' documents.
struct Merged<T> {
    sources: Vec<Source<T>>,
    until: Until,
    time: fn(&T) -> &str,
}

impl<T> Merged<T> {
    /// The earliest of what the machines say next, and whose it is; none when all have ended.
    async fn next(&mut self) -> Option<(&str, Result<T>)> {
        self.heard(|all| {
            all.iter().any(|source| matches!(source.next, Next::Known(..)))
                || all.iter().all(|source| matches!(source.next, Next::Nothing))
        })
        .await;
        let nobody_awaited =
            |all: &[Source<T>]| !all.iter().any(|source| matches!(source.next, Next::Awaited));
        if timeout(GRACE, self.heard(nobody_awaited)).await.is_err() {
            for source in &mut self.sources {
                if matches!(source.next, Next::Awaited) {
                    source.next = Next::Late;
                }
            }
        }
        // RFC 3339 in UTC sorts as text, but for fractions of different lengths: hence moments.
        let known = self.sources.iter_mut().filter_map(|source| match source.next {
            Next::Known(at, _) => Some((at, source)),
            _ => None,
        });
        let (_, earliest) = known.min_by_key(|(at, _)| *at)?;
        let unknown = self.until.before_it_is_known();
        match std::mem::replace(&mut earliest.next, unknown) {
            Next::Known(_, piece) => Some((&earliest.machine, piece)),
            _ => None,
        }
    }

    /// Listens to all machines until that is `enough`.
    async fn heard(&mut self, enough: impl Fn(&[Source<T>]) -> bool) {
        poll_fn(|task| {
            for source in &mut self.sources {
                source.listen(task, self.time);
            }
            if enough(&self.sources) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl<T> Source<T> {
    /// Takes what the machine says next, if it has said it.
    fn listen(&mut self, task: &mut Task<'_>, time: fn(&T) -> &str) {
        if matches!(self.next, Next::Awaited | Next::Late)
            && let Poll::Ready(piece) = self.coming.poll_recv(task)
        {
            self.next = match piece {
                Some(Ok(document)) => Next::Known(time(&document).parse().ok(), Ok(document)),
                Some(Err(error)) => Next::Known(None, Err(error)),
                None => Next::Nothing,
            };
        }
    }
}

impl Until {
    /// Nobody knows when there is a line to be followed, so nobody waits for it.
    fn before_it_is_known<T>(self) -> Next<T> {
        match self {
            Self::Now => Next::Awaited,
            Self::Stopped => Next::Late,
        }
    }
}

/// Has a task per machine read it.
fn start<T: DeserializeOwned + Send + 'static>(
    target: &Target,
    question: &Question,
    whom: &Whom,
    until: Until,
    time: fn(&T) -> &str,
) -> Merged<T> {
    let source = |machine: &Machine| {
        let (sender, coming) = mpsc::channel(WAITING);
        let name = machine.name.clone();
        let (target, machine, question, within) =
            (target.clone(), machine.clone(), question.clone(), whom.within());
        tokio::spawn(async move {
            let reading = async {
                let mut connection = Connection::open(&target, &machine, within).await?;
                read(&mut connection, &question, &sender).await
            };
            if let Err(error) = reading.await {
                // Whoever does not listen any more need not know.
                let _ = sender.send(Err(error)).await;
            }
        });
        Source { machine: name, coming, next: until.before_it_is_known() }
    };
    Merged { sources: target.machines.iter().map(source).collect(), until, time }
}

async fn read<T: DeserializeOwned>(
    connection: &mut Connection,
    question: &Question,
    sender: &mpsc::Sender<Result<T>>,
) -> Result<()> {
    let mut lines = connection.lines(question).await?;
    while let Some(document) = lines.next().await? {
        if sender.send(Ok(document)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// A document with the machine's name in it.
fn tagged<T: Serialize>(machine: &str, document: &T) -> Result<Value> {
    let mut value = serde_json::to_value(document).context("writing down a line")?;
    let object = value.as_object_mut().ok_or_else(|| anyhow!("a line is no object"))?;
    object.insert("machine".to_owned(), json!(machine));
    Ok(value)
}

/// The time of day of an RFC 3339 text, to milliseconds.
pub(super) fn clock(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(moment) => moment.strftime("%H:%M:%S%.3f").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// A moment, or how long ago: `2026-11-21T12:00:00Z`, `10m`, `2h 30m`.
pub(super) fn since(text: &str) -> Result<String, String> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.to_string());
    }
    let ago: jiff::SignedDuration =
        text.parse().map_err(|_| "a moment or a duration such as 10m is wanted".to_owned())?;
    let moment = jiff::Timestamp::now().checked_sub(ago.abs()).map_err(|error| error.to_string())?;
    Ok(moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Machines, each with the minutes of what it has told, and how they tell more.
    fn machines(told: &[(&str, &[u8])]) -> (Merged<String>, Vec<mpsc::Sender<Result<String>>>) {
        let (sources, senders) = told
            .iter()
            .map(|(machine, minutes)| {
                let (sender, coming) = mpsc::channel(WAITING);
                minutes.iter().for_each(|minute| sender.try_send(at(*minute)).unwrap());
                (Source { machine: (*machine).to_owned(), coming, next: Next::Awaited }, sender)
            })
            .unzip();
        (Merged { sources, until: Until::Now, time: |time| time }, senders)
    }

    fn at(minute: u8) -> Result<String> {
        Ok(format!("2026-11-21T12:{minute:02}:00Z"))
    }

    /// The next of them, or all that is left: whose, and its last digit; `!` for one that breaks off.
    async fn order(merged: &mut Merged<String>, most: usize) -> Vec<String> {
        let mut order = Vec::new();
        while order.len() < most
            && let Some((machine, piece)) =
                timeout(GRACE * 10, merged.next()).await.expect("somebody waits for a machine for ever")
        {
            order.push(format!("{machine}{}", piece.as_ref().map_or("!", |time| &time[15..16])));
        }
        order
    }

    #[tokio::test]
    async fn machines_are_merged_by_time_and_each_keeps_its_own_order() {
        // The clock of b was set back after its second line.
        let (mut merged, senders) = machines(&[("a", &[1, 4]), ("b", &[2, 5, 3])]);
        senders[0].try_send(Err(anyhow!("it broke off"))).unwrap();
        drop(senders);
        assert_eq!(order(&mut merged, usize::MAX).await, ["a1", "b2", "a4", "a!", "b5", "b3"]);
    }

    #[tokio::test]
    async fn a_machine_that_says_nothing_does_not_hold_up_the_others_and_joins_them_later() {
        let (mut merged, senders) = machines(&[("a", &[4, 6]), ("b", &[]), ("c", &[5, 7])]);
        let begun = std::time::Instant::now();
        assert_eq!(order(&mut merged, 2).await, ["a4", "c5"]);
        // It was waited for, but once.
        assert!((GRACE..GRACE * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        senders[1].try_send(at(1)).unwrap();
        drop(senders);
        assert_eq!(order(&mut merged, usize::MAX).await, ["b1", "a6", "c7"]);
    }

    #[tokio::test]
    async fn of_a_machine_that_is_not_at_turn_only_a_few_lines_are_held() {
        let (mut merged, senders) = machines(&[("a", &[1]), ("b", &[])]);
        let told = (0..).take_while(|_| senders[1].try_send(at(9)).is_ok()).count();
        assert_eq!(told, WAITING);
        assert_eq!(order(&mut merged, 1).await, ["a1"]);
    }

    #[test]
    fn since_takes_a_moment_or_a_duration() {
        assert_eq!(since("2026-11-21T12:00:00Z").unwrap(), "2026-11-21T12:00:00Z");
        let ago: jiff::Timestamp = since("10m").unwrap().parse().unwrap();
        let passed = jiff::Timestamp::now().duration_since(ago);
        assert!((600..610).contains(&passed.as_secs()), "{passed}");
        assert!(since("yesterday").is_err());
    }

    #[test]
    fn a_line_for_programs_says_whose_it_is() {
        assert_eq!(tagged("w1", &json!({ "a": 1 })).unwrap(), json!({ "a": 1, "machine": "w1" }));
        assert!(tagged("w1", &1).is_err());
    }
}
