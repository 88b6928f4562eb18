//! `slipway reboot` and `slipway shutdown`: the end of machines.
//!
//! The reason is kept with the machines' logs, next to who wanted it.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::Accepted;
use node_api::request::EndRequest;

use super::paint::Tone;
use super::show;
use super::table::Cell;
use super::whom::Named;
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
    #[command(flatten)]
    named: Named,
}

pub(super) fn run(args: &Args, verb: Verb, context: &Context) -> Result<()> {
    let question =
        Question::of(verb).with_body(&EndRequest { reason: args.reason.clone(), now: args.now })?;
    show::table::<Accepted>(args.named.whom()?, context, &question, &["OUTCOME"], |accepted| {
        let outcome = if accepted.changes { "on its way down" } else { "was on its way down already" };
        vec![vec![Cell::toned(outcome, Tone::Good)]]
    })
}
