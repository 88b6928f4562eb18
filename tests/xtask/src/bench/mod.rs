//! Measurements: `cargo xtask bench boot | supervisor`.
//!
//! `boot` is a cluster from power-on to a pod's answer, sizes and builds; `supervisor` is our PID 1
//! beside others. Both print tables with the goals beside them, and JSON.

use anyhow::Result;

mod boot;
pub mod supervisor;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// From power-on to a pod's first answer; sizes; warm builds
    Boot(boot::Args),
    /// Our PID 1 beside dinit, s6, runit and systemd, in one run with the same services
    Supervisor(supervisor::Args),
}

/// Runs the benchmark.
///
/// # Errors
/// A step fails.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Boot(args) => boot::run(args),
        What::Supervisor(args) => supervisor::run(args),
    }
}
