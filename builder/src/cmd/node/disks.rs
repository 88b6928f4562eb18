//! `slipway disks`: disks and their partitions.
//!
//! A partition's line follows its disk's.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::{Disk, Disks};

use super::show::{self, bytes};
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

const HEAD: [&str; 7] = ["NAME", "SIZE", "LABEL", "WRITABLE", "READ", "WRITTEN", "HOLDERS"];

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    show::table::<Disks>(&args.whom, context, &Question::of(Verb::Disks), &HEAD, |reply| {
        reply.disks.iter().flat_map(rows).collect()
    })
}

fn rows(disk: &Disk) -> Vec<Vec<Cell>> {
    let mut rows = vec![vec![
        disk.name.as_str().into(),
        bytes(disk.size_bytes).into(),
        disk.model.as_deref().unwrap_or_default().into(),
        if disk.read_only { "no" } else { "yes" }.into(),
        bytes(disk.read_bytes).into(),
        bytes(disk.written_bytes).into(),
        disk.holders.join(", ").into(),
    ]];
    rows.extend(disk.partitions.iter().map(|partition| {
        vec![
            format!("  {}", partition.name).into(),
            bytes(partition.size_bytes).into(),
            partition.label.as_deref().unwrap_or_default().into(),
        ]
    }));
    rows
}
