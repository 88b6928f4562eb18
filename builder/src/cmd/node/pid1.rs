//! `slipway pid1 reexec`: PID 1 replaced by its own program, with nothing restarted.
//!
//! For tests, and for whoever suspects PID 1 itself: what runs on, under which number, is seen in
//! `slipway services` before and after.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::Accepted;

use super::paint::Tone;
use super::show;
use super::table::Cell;
use super::whom::Named;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Replace it by its own program; every process, descriptor, timer and budget stays.
    Reexec(Reexec),
}

#[derive(Debug, clap::Args)]
struct Reexec {
    #[command(flatten)]
    named: Named,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let What::Reexec(Reexec { named }) = &args.what;
    show::table::<Accepted>(named.whom()?, context, &Question::of(Verb::Reexec), &["OUTCOME"], |_| {
        vec![vec![Cell::toned("replaces itself", Tone::Good)]]
    })
}
