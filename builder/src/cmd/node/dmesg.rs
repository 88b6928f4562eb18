//! `slipway dmesg`: what the kernel has said.
//!
//! Its log is kept like any service's, over reboots, so it has the same choices.

use anyhow::Result;
use node_api::Verb;

use super::logs::Which;
use super::whom::Whom;
use crate::cmd::Context;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    args.which.print(Verb::Dmesg, None, &args.whom, context)
}
