//! `slipway status`: how machines are, a line each.
//!
//! What is wrong comes last and in words: alarms first, else the services that are still waited for.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::{Stage, Status};

use super::paint::Tone;
use super::show::{self, bytes, span};
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

const HEAD: [&str; 8] = ["ROLE", "STAGE", "UPTIME", "SERVICES", "MEMORY", "LOAD", "CONFIG", "PROBLEM"];

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    show::table::<Status>(&args.whom, context, &Question::of(Verb::Status), &HEAD, |status| vec![row(status)])
}

/// A machine's line, without its name.
fn row(status: &Status) -> Vec<Cell> {
    let services = format!("{} of {}", status.services_good, status.services_wanted);
    let all_good = status.services_good == status.services_wanted;
    let used = status.memory.total_bytes.saturating_sub(status.memory.available_bytes);
    let problem = match status.alarms.first() {
        Some(alarm) => Cell::toned(format!("{}: {}", alarm.service, alarm.text), Tone::Bad),
        None if all_good => "".into(),
        None => Cell::toned(format!("waiting for {}", status.waiting_for.join(", ")), Tone::Busy),
    };
    vec![
        status.role.as_str().into(),
        stage(status.stage),
        span(status.uptime_ms).into(),
        Cell::toned(services, if all_good { Tone::Good } else { Tone::Busy }),
        format!("{} of {}", bytes(used), bytes(status.memory.total_bytes)).into(),
        format!("{:.2}", status.load[0]).into(),
        status.config_serial.map_or_else(String::new, |serial| format!("serial {serial}")).into(),
        problem,
    ]
}

/// A stage in its word and tone.
pub(super) fn stage(stage: Stage) -> Cell {
    match stage {
        Stage::Booting => Cell::toned("booting", Tone::Busy),
        Stage::Up => Cell::toned("up", Tone::Good),
        Stage::Rebooting => Cell::toned("rebooting", Tone::Busy),
        Stage::ShuttingDown => Cell::toned("shutting down", Tone::Busy),
    }
}
