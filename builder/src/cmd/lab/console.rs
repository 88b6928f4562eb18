//! `slipway lab console`: what a machine has written to its console, and with `-f` what it goes on to write.
//!
//! The bytes as they are, of all starts since the lab was made; `story` is for those who want to know what they mean.
//! Works on a lab that has stopped, too: that is when it is needed most.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab::{Error, Labs};

use super::{choose, labs};

/// Between two looks at a console that is followed.
const PAUSE: Duration = Duration::from_millis(100);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// LAB/MACHINE, or MACHINE of the only lab
    #[arg(value_name = "LAB/MACHINE")]
    machine: String,
    /// Go on until the lab goes down
    #[arg(short, long)]
    follow: bool,
}

/// Runs the verb.
///
/// # Errors
/// There is no such machine.
pub fn run(args: &Args) -> Result<()> {
    let labs = labs()?;
    let (lab, machine) = match args.machine.split_once('/') {
        Some((lab, machine)) => (choose(&labs, Some(lab))?, machine),
        None => (choose(&labs, None)?, args.machine.as_str()),
    };
    let dir = labs.dir(&lab);
    let spec = dir.read_spec()?;
    if !spec.machines.iter().any(|known| known.name == machine) {
        let names: Vec<&str> = spec.machines.iter().map(|known| known.name.as_str()).collect();
        bail!("lab {lab} has no machine named {machine}; it has {}", names.join(", "));
    }
    let path = dir.console(machine);
    let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    loop {
        let running = args.follow && is_running(&labs, &lab);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(|| format!("reading {}", path.display()))?;
        let mut out = std::io::stdout().lock();
        // Whoever reads this may have enough of it.
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() || !running {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

fn is_running(labs: &Labs, lab: &str) -> bool {
    !matches!(labs.open(lab), Err(Error::NotRunning(_) | Error::NoSuchLab(_)))
}
