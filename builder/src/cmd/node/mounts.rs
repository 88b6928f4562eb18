//! `slipway mounts`: what is mounted where, and how full it is.
//!
//! Only file systems that hold something have a size.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::{Mount, Mounts};

use super::show::{self, bytes};
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
}

const HEAD: [&str; 6] = ["TARGET", "SOURCE", "KIND", "SIZE", "AVAILABLE", "OPTIONS"];

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let row = |mount: &Mount| {
        let size = |size: Option<u64>| size.map(bytes).unwrap_or_default();
        vec![
            mount.target.as_str().into(),
            mount.source.as_str().into(),
            mount.kind.as_str().into(),
            size(mount.size_bytes).into(),
            size(mount.available_bytes).into(),
            mount.options.as_str().into(),
        ]
    };
    show::table::<Mounts>(&args.whom, context, &Question::of(Verb::Mounts), &HEAD, |reply| {
        reply.mounts.iter().map(row).collect()
    })
}
