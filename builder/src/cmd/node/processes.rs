//! `slipway processes`: every process and the service that it belongs to.
//!
//! Kernel threads are left out unless they are asked for: there are a hundred of them, and nobody can do anything.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::{Process, Processes};

use super::show::{self, bytes, span};
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show the kernel's own threads, too
    #[arg(short, long)]
    kernel: bool,
    /// Only those of this service
    #[arg(long)]
    service: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

const HEAD: [&str; 8] = ["PID", "PARENT", "USER", "S", "SERVICE", "MEMORY", "CPU", "COMMAND"];

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let wanted = |process: &&Process| {
        (args.kernel || !process.command.is_empty())
            && (args.service.is_none() || process.service == args.service)
    };
    show::table::<Processes>(&args.whom, context, &Question::of(Verb::Processes), &HEAD, |reply| {
        let row = |process: &Process| {
            let command = if process.command.is_empty() {
                format!("[{}]", process.name)
            } else {
                process.command.clone()
            };
            vec![
                process.pid.to_string().into(),
                process.parent.to_string().into(),
                process.user.to_string().into(),
                process.state.as_str().into(),
                process.service.as_deref().unwrap_or_default().into(),
                bytes(process.resident_bytes).into(),
                span(process.cpu_ms).into(),
                command.into(),
            ]
        };
        reply.processes.iter().filter(wanted).map(row).collect()
    })
}
