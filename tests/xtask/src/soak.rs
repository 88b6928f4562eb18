//! The storm of everything on one machine, for as long as one likes.
//!
//! The scenario is init's (`init/tests/pid1/soak.rs`), and half a minute of it is in every run of the
//! tests; here it gets its half hour, and tells its figures.

use anyhow::{Result, bail};

use crate::run::{cargo, loud, slipway, slipway_path};

/// How long it goes on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Minutes
    #[arg(long, default_value_t = 30)]
    minutes: u64,
}

/// Lets it go on.
///
/// # Errors
/// Something was left behind; what, has been printed.
pub fn run(args: &Args) -> Result<()> {
    if args.minutes == 0 {
        bail!("no time at all shows nothing: --minutes 1 or more");
    }
    loud(&mut slipway(&["build", "--component", "kernel-um"])?)?;
    let mut soak = cargo(&["test", "--package", "init", "--test", "pid1", "--", "a_long_storm"]);
    soak.env("SLIPWAY", slipway_path()).env("SLIPWAY_DRIVER", "uml").env("SCENARIO_SHOW", "1");
    loud(soak.env("SLIPWAY_SOAK_SECONDS", (args.minutes * 60).to_string()))
}
