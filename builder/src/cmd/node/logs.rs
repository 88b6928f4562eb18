//! `slipway logs`: what services, the kernel and PID 1 have said.
//!
//! The choosing is done on the machines; here it is only put into words. Lines that were lost are told where they
//! would have been.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::LogLine;
use node_api::request::{Failure, LogQuery};

use super::stream::{self, Telling, Until, clock, since};
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose; `kernel` and `init` count as services. Everybody's without it
    service: Option<String>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    whom: Whom,
}

/// Which lines.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Go on with those that come
    #[arg(short, long)]
    follow: bool,
    /// From this moment on, or from so long ago: 2026-11-21T12:00:00Z, 10m, "2h 30m"
    #[arg(long, value_parser = since)]
    since: Option<String>,
    /// Of one boot: its id, `current`, or how many boots ago
    #[arg(long)]
    boot: Option<String>,
    /// With this text in them
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Only those that were set apart when the service failed: `first` or `latest`
    #[arg(long, value_parser = failure, conflicts_with = "follow")]
    failure: Option<Failure>,
    /// Only the last so many
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
}

fn failure(text: &str) -> Result<Failure, String> {
    match text {
        "first" => Ok(Failure::First),
        "latest" => Ok(Failure::Latest),
        _ => Err("first or latest is wanted".to_owned()),
    }
}

impl Which {
    fn query(&self, service: Option<String>) -> LogQuery {
        LogQuery {
            service,
            since: self.since.clone(),
            boot: self.boot.clone(),
            grep: self.grep.clone(),
            failure: self.failure,
            tail: self.tail,
            follow: self.follow,
        }
    }

    /// Prints what `verb` has of them.
    pub(super) fn print(
        &self,
        verb: Verb,
        service: Option<String>,
        whom: &Whom,
        context: &Context,
    ) -> Result<()> {
        let question = Question::of(verb).with_query(&self.query(service))?;
        let until = if self.follow { Until::Stopped } else { Until::Now };
        stream::print(
            whom,
            context,
            &question,
            until,
            &Telling { time: |line: &LogLine| &line.time, line: told },
        )
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    args.which.print(Verb::Logs, args.service.clone(), &args.whom, context)
}

/// A line for people.
pub(super) fn told(line: &LogLine) -> String {
    let lost = match line.dropped {
        0 => String::new(),
        lines => format!("({lines} lines lost) "),
    };
    let (before, after) = (if line.continued { "…" } else { "" }, if line.cut { "…" } else { "" });
    format!("{} {:<16} {lost}{before}{}{after}", clock(&line.time), line.service, line.text)
}
