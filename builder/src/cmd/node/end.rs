//! `slipway reboot` and `slipway shutdown`: the end of machines.
//!
//! Whose end is meant has to be said: by name, or `--all`.

use anyhow::{Result, bail};
use node_api::Verb;
use node_api::reply::Accepted;
use node_api::request::EndRequest;

use super::paint::Tone;
use super::show;
use super::table::Cell;
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Why, for the machines' record
    #[arg(long)]
    reason: Option<String>,
    /// Kill services instead of stopping them, also when they are being stopped already
    #[arg(long)]
    now: bool,
    /// All machines of the cluster
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn run(args: &Args, verb: Verb, context: &Context) -> Result<()> {
    if !args.all && !args.whom.names_machines() {
        bail!("which machines? name them with --node, or say --all");
    }
    let question =
        Question::of(verb).with_body(&EndRequest { reason: args.reason.clone(), now: args.now })?;
    show::table::<Accepted>(&args.whom, context, &question, &["OUTCOME"], |accepted| {
        let outcome = if accepted.changes { "on its way down" } else { "was on its way down already" };
        vec![vec![Cell::toned(outcome, Tone::Good)]]
    })
}
