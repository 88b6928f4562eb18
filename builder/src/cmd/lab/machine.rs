//! `slipway lab machine`: the buttons and the plug of a single machine.
//!
//! Every verb waits until it has taken effect, so that scripts and tests need no sleep after it. A machine that is off
//! can be given another signed config before it is started.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::{Client, MachineOrder, MachineStatus, PowerState};

use super::{choose, config_disk, labs};
use crate::cmd::Context;

/// An orderly shutdown may take this long before the machine is forced.
const PATIENCE: Duration = Duration::from_secs(60);
/// Killing and starting are a matter of milliseconds.
const SOON: Duration = Duration::from_secs(10);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Switch a machine on
    Start {
        #[command(flatten)]
        which: Which,
        /// Put this signed config on its config disk first
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Press its power button and wait until it is off
    Stop(Which),
    /// Press its power button and wait until it has started again
    Reboot(Which),
    /// Pull its plug
    Kill(Which),
    /// Press its reset button
    Reset(Which),
    /// Pull its plug and put it back
    PowerCycle(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The lab
    lab: String,
    /// The machine
    machine: String,
}

/// Runs the verb; it has taken effect when this returns.
///
/// # Errors
/// There is no such machine, or it does not obey.
pub fn run(args: Args, context: &Context) -> Result<()> {
    let (order, which, config) = match args.verb {
        Verb::Start { which, config } => (MachineOrder::Start, which, config),
        Verb::Stop(which) => (MachineOrder::Stop, which, None),
        Verb::Reboot(which) => (MachineOrder::Reboot, which, None),
        Verb::Kill(which) => (MachineOrder::Kill, which, None),
        Verb::Reset(which) => (MachineOrder::Reset, which, None),
        Verb::PowerCycle(which) => (MachineOrder::PowerCycle, which, None),
    };
    let labs = labs()?;
    let lab = choose(&labs, Some(&which.lab))?;
    let mut client = labs.open(&lab)?;
    let before = find(&mut client, &which.machine)?;
    if let Some(config) = config {
        if before.power != PowerState::Off {
            bail!("{} is on: its config disk can't be changed under it; kill it first", which.machine);
        }
        let envelope = std::fs::read(&config).with_context(|| format!("reading {}", config.display()))?;
        config_disk::write(
            &labs.dir(&lab).machine(&which.machine).join(super::setup::CONFIG_DISK),
            &envelope,
        )?;
    }
    client.order(&which.machine, order, Some(PATIENCE))?;
    let after = settle(&mut client, order, &before)?;
    if context.json {
        println!("{}", serde_json::to_string(&after).context("writing down the machine's state")?);
    }
    Ok(())
}

fn find(client: &mut Client, machine: &str) -> Result<MachineStatus> {
    let status = client.status()?;
    let names: Vec<&str> = status.machines.iter().map(|known| known.name.as_str()).collect();
    let listed = names.join(", ");
    let found = status.machines.iter().find(|known| known.name == machine);
    found
        .cloned()
        .with_context(|| format!("lab {} has no machine named {machine}; it has {listed}", status.name))
}

/// Waits until the machine is as it was ordered to be.
fn settle(client: &mut Client, order: MachineOrder, before: &MachineStatus) -> Result<MachineStatus> {
    let patience =
        if matches!(order, MachineOrder::Stop | MachineOrder::Reboot) { PATIENCE + SOON } else { SOON };
    let deadline = Instant::now() + patience;
    loop {
        let now = find(client, &before.name)?;
        let done = match order {
            MachineOrder::Stop | MachineOrder::Kill => now.power == PowerState::Off,
            MachineOrder::Start => now.power == PowerState::On,
            MachineOrder::Reboot | MachineOrder::Reset | MachineOrder::PowerCycle => {
                now.starts > before.starts
            }
        };
        if done {
            return Ok(now);
        }
        if Instant::now() > deadline {
            bail!("{} did not obey within {} s", before.name, patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
