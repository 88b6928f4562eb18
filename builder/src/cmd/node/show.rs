//! What the verbs have in common that ask for a document: ask everybody, show everything, fail if anybody failed.
//!
//! A table grows as machines answer: those that do at once in their order, the late below them, under the same head.
//! JSON is one array with an object per machine: `machine`, and `reply` or `error`; it is whole or not there, so it
//! comes when everybody has answered.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::paint::{Paint, Tone};
use super::print;
use super::table::{Cell, Table};
use super::whom::Whom;
use super::{Unanswered, runtime};
use crate::cmd::Context;
use crate::node::Target;
use crate::node::client::Question;
use crate::node::fan::{self, Said};

/// Asks `question` of everybody and shows a table; `rows` makes a machine's lines, without its name.
pub(super) fn table<T: Serialize + DeserializeOwned + Send + 'static>(
    whom: &Whom,
    context: &Context,
    question: &Question,
    head: &[&str],
    rows: impl Fn(&T) -> Vec<Vec<Cell>>,
) -> Result<()> {
    let target = whom.target()?;
    if context.json {
        return json::<T>(whom, &target, question);
    }
    let head: Vec<&str> = std::iter::once("MACHINE").chain(head.iter().copied()).collect();
    let names = target.machines.iter().map(|machine| machine.name.as_str());
    let mut table = Table::new(&head, names);
    let paint = Paint::for_stdout();
    batches::<T>(whom, &target, question, |said| {
        for (machine, answer) in said {
            match answer {
                Ok(reply) => {
                    for cells in rows(reply) {
                        table.row(std::iter::once(Cell::from(machine.name.as_str())).chain(cells).collect());
                    }
                }
                Err(error) => {
                    table.note(machine.name.as_str().into(), Cell::toned(format!("{error:#}"), Tone::Bad));
                }
            }
        }
        print::all(&table.render(paint))
    })
}

/// Asks `question` of everybody, and has `tell` told what machines say as they say it.
pub(super) fn batches<T: DeserializeOwned + Send + 'static>(
    whom: &Whom,
    target: &Target,
    question: &Question,
    mut tell: impl FnMut(&[Said<T>]) -> Result<()>,
) -> Result<()> {
    runtime()?.block_on(async {
        let mut asked = fan::ask::<T>(target, question, whom.within());
        let mut failed = 0;
        loop {
            let said = asked.batch().await;
            if said.is_empty() {
                return verdict(failed, target);
            }
            failed += failures(&said);
            tell(&said)?;
        }
    })
}

/// Asks `question` of everybody, and prints for programs what was said.
fn json<T: Serialize + DeserializeOwned + Send + 'static>(
    whom: &Whom,
    target: &Target,
    question: &Question,
) -> Result<()> {
    let said = runtime()?.block_on(async { fan::ask::<T>(target, question, whom.within()).all().await });
    let all: Vec<Value> = said
        .iter()
        .map(|(machine, answer)| match answer {
            Ok(reply) => json!({ "machine": machine.name, "reply": reply }),
            Err(error) => json!({ "machine": machine.name, "error": format!("{error:#}") }),
        })
        .collect();
    print::line(serde_json::to_string_pretty(&all).context("writing down the answers")?)?;
    verdict(failures(&said), target)
}

fn failures<T>(said: &[Said<T>]) -> usize {
    said.iter().filter(|(_, answer)| answer.is_err()).count()
}

/// Whether everybody answered.
fn verdict(failed: usize, target: &Target) -> Result<()> {
    match failed {
        0 => Ok(()),
        failed => Err(Unanswered { failed, all: target.machines.len() }.into()),
    }
}

/// Bytes as people read them.
pub(super) fn bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// Milliseconds as people read them.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units() {
        let told = [999, 61_000, 3_660_000, 90_000_000].map(span);
        assert_eq!(told, ["0.9 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
