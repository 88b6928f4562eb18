//! What the verbs have in common that read streams: all machines at once, one stdout.
//!
//! Without `--follow` everything is read and then merged by time; with it, lines come as they come, and a machine that
//! breaks off is told on stderr while the others go on. JSON is a line per document, with `machine` added; one
//! that breaks off is a line, too, with `error`.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::print;
use super::table::clean;
use super::whom::Whom;
use super::{Unanswered, runtime};
use crate::cmd::Context;
use crate::node::client::{Connection, Question};
use crate::node::{Machine, Target};

/// Documents that wait to be printed.
const WAITING: usize = 1024;

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

type Piece<T> = (String, Result<T>);

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
        let mut pieces = start::<T>(&target, question, whom);
        let mut kept: BTreeMap<String, VecDeque<T>> = BTreeMap::new();
        while let Some((machine, piece)) = pieces.recv().await {
            match piece {
                Ok(document) if until == Until::Stopped => show(&machine, &document)?,
                Ok(document) => kept.entry(machine).or_default().push_back(document),
                Err(error) => fail(&machine, &error)?,
            }
        }
        merged(kept, telling.time).iter().try_for_each(|(machine, document)| show(machine, document))
    })?;
    match failed {
        0 => Ok(()),
        failed => Err(Unanswered { failed, all: target.machines.len() }.into()),
    }
}

/// All machines' documents by time. Each machine's own stay in the order in which it told them: its clock may have been
/// set in between, and what happened in the same microsecond has an order, too.
fn merged<T>(mut kept: BTreeMap<String, VecDeque<T>>, time: fn(&T) -> &str) -> Vec<(String, T)> {
    // RFC 3339 in UTC sorts as text, but for fractions of different lengths; those are parsed.
    let moment = |document: &T| time(document).parse::<jiff::Timestamp>().ok();
    let mut merged = Vec::new();
    loop {
        let heads = kept.iter().filter_map(|(machine, own)| Some((moment(own.front()?), machine)));
        let Some(machine) = heads.min().map(|(_, machine)| machine.clone()) else { return merged };
        let document = kept.get_mut(&machine).and_then(VecDeque::pop_front);
        merged.extend(document.map(|document| (machine, document)));
    }
}

/// A task per machine, all of which put into one channel.
fn start<T: DeserializeOwned + Send + 'static>(
    target: &Target,
    question: &Question,
    whom: &Whom,
) -> mpsc::Receiver<Piece<T>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    for machine in target.machines.iter().cloned() {
        let (target, question, within, sender) =
            (target.clone(), question.clone(), whom.within(), sender.clone());
        tokio::spawn(async move {
            let mut connection = match Connection::open(&target, &machine, within).await {
                Ok(connection) => connection,
                Err(error) => return drop(sender.send((machine.name, Err(error))).await),
            };
            if let Err(error) = read(&mut connection, &machine, &question, &sender).await {
                let _ = sender.send((machine.name, Err(error))).await;
            }
        });
    }
    receiver
}

async fn read<T: DeserializeOwned>(
    connection: &mut Connection,
    machine: &Machine,
    question: &Question,
    sender: &mpsc::Sender<Piece<T>>,
) -> Result<()> {
    let mut lines = connection.lines(question).await?;
    while let Some(document) = lines.next().await? {
        if sender.send((machine.name.clone(), Ok(document))).await.is_err() {
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

    #[test]
    fn machines_are_merged_by_time_and_each_keeps_its_own_order() {
        let told = |minutes: &[u8]| -> VecDeque<String> {
            minutes.iter().map(|minute| format!("2026-11-21T12:{minute:02}:00Z")).collect()
        };
        // The clock of b was set back after its second line.
        let kept = BTreeMap::from([("a".to_owned(), told(&[1, 4])), ("b".to_owned(), told(&[2, 5, 3]))]);
        let order: Vec<String> = merged(kept, |time| time.as_str())
            .into_iter()
            .map(|(machine, time)| format!("{machine}{}", &time[15..16]))
            .collect();
        assert_eq!(order, ["a1", "b2", "a4", "b5", "b3"]);
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
