//! `slipway version`: what runs on machines.
//!
//! The version of this program itself is `slipway --version`.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::Version;

use super::show;
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let question = Question::of(Verb::Version);
    show::table::<Version>(
        &args.whom,
        context,
        &question,
        &["ROLE", "SLIPWAY", "API", "KERNEL", "BUILT"],
        |version| {
            let Version { role, slipway, api, kernel, built, .. } = version.clone();
            vec![vec![
                role.into(),
                slipway.into(),
                api.into(),
                kernel.into(),
                built.unwrap_or_default().into(),
            ]]
        },
    )
}
