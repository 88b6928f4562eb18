//! `slipway explain`: why a service is not ready, in PID 1's words.
//!
//! A line per link of the chain, the service itself first.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::Explanation;

use super::show;
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service
    service: String,
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let question = Question::about(Verb::Explain, &args.service);
    show::table::<Explanation>(&args.whom, context, &question, &["WHY"], |explanation| {
        explanation.lines.iter().map(|line| vec![line.as_str().into()]).collect()
    })
}
