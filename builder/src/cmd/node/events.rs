//! `slipway events`: what has happened since boot, each with its cause.
//!
//! Events have gap-free numbers on each machine, so `--since` takes one.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::Event;
use node_api::request::EventQuery;

use super::stream::{self, Telling, Until, clock};
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this service's
    service: Option<String>,
    /// Go on with those that come
    #[arg(short, long)]
    follow: bool,
    /// From this number on
    #[arg(long, value_name = "NUMBER")]
    since: Option<u64>,
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let query = EventQuery { since: args.since, service: args.service.clone(), follow: args.follow };
    let question = Question::of(Verb::Events).with_query(&query)?;
    let until = if args.follow { Until::Stopped } else { Until::Now };
    stream::print(
        &args.whom,
        context,
        &question,
        until,
        &Telling { time: |event: &Event| &event.time, line: told },
    )
}

/// A line for people.
pub(super) fn told(event: &Event) -> String {
    let change = match (event.from, event.to) {
        (Some(from), Some(to)) => format!("{} → {}", from.as_str(), to.as_str()),
        _ => String::new(),
    };
    let whose = event.service.as_deref().unwrap_or("machine");
    format!("{} {:>6} {whose:<24} {change:<22} {}", clock(&event.time), event.number, event.cause)
}
