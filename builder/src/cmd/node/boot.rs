//! `slipway boot`: when machines and their services reached what.
//!
//! Marks of the machine and services on one time line, by the moment that each was ready. Those that the machine was
//! not up without are numbered as a chain: each waited for the one before it.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::{Boot, ServiceBoot};

use super::paint::Tone;
use super::services::state;
use super::show;
use super::table::Cell;
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
}

/// From when it was wanted until its needs were met, from there until its process was made, from there until that ran
/// its program, and from there until it was ready; and its place among those that the machine waited for.
const HEAD: [&str; 8] = ["AT", "WHAT", "STATE", "WAITING", "PREPARING", "EXECUTING", "STARTING", "CHAIN"];

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    show::table::<Boot>(&args.whom, context, &Question::of(Verb::Boot), &HEAD, rows)
}

fn rows(boot: &Boot) -> Vec<Vec<Cell>> {
    let mark = |at: u64, name: &str| (at, vec![at_text(at).into(), Cell::toned(name, Tone::Busy)]);
    let mut rows: Vec<(u64, Vec<Cell>)> =
        boot.marks.iter().map(|each| mark(each.at_ms, &each.name)).collect();
    let link = |service: &ServiceBoot| boot.critical_chain.iter().position(|name| *name == service.name);
    rows.extend(boot.services.iter().map(|each| service(each, link(each))));
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, cells)| cells).collect()
}

/// What is not ready yet comes last.
fn service(service: &ServiceBoot, link: Option<usize>) -> (u64, Vec<Cell>) {
    let stamps = service.stamps;
    let between = |from: Option<u64>, to: Option<u64>| match (from, to) {
        (Some(from), Some(to)) => format!("{} ms", to.saturating_sub(from)),
        _ => String::new(),
    };
    let cells = vec![
        stamps.ready_ms.map(at_text).unwrap_or_default().into(),
        service.name.as_str().into(),
        state(service.state, true),
        between(stamps.wanted_ms, stamps.met_ms).into(),
        between(stamps.met_ms, stamps.started_ms).into(),
        between(stamps.started_ms, stamps.executed_ms).into(),
        between(stamps.executed_ms, stamps.ready_ms).into(),
        link.map(|link| (link + 1).to_string()).unwrap_or_default().into(),
    ];
    (stamps.ready_ms.unwrap_or(u64::MAX), cells)
}

fn at_text(ms: u64) -> String {
    format!("{:>4}.{:03} s", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use node_api::reply::{BootMark, Stamps, State};

    use super::*;

    #[test]
    fn the_time_line_is_in_order_and_what_is_not_ready_comes_last() {
        let service = |name: &str, ready_ms: Option<u64>| ServiceBoot {
            name: name.to_owned(),
            milestone: true,
            state: State::Ready,
            stamps: Stamps { started_ms: Some(100), ready_ms, ..Stamps::default() },
        };
        let boot = Boot {
            id: String::new(),
            began: String::new(),
            marks: vec![BootMark { name: "up".to_owned(), at_ms: 900 }],
            services: vec![service("late", None), service("etcd", Some(500)), service("pki", Some(400))],
            critical_chain: vec!["pki".to_owned(), "etcd".to_owned()],
        };
        let rows = rows(&boot);
        let order: Vec<&Cell> = rows.iter().map(|cells| &cells[1]).collect();
        assert_eq!(order, [&"pki".into(), &"etcd".into(), &Cell::toned("up", Tone::Busy), &"late".into()]);
        let links: Vec<Option<Cell>> = rows.iter().map(|cells| cells.get(7).cloned()).collect();
        assert_eq!(links, [Some("1"), Some("2"), None, Some("")].map(|text| text.map(Cell::from)));
    }
}
