//! What CI runs: check, image builds, scenarios for PID 1, and promises checked on booted machines.
//!
//! Ends with one line of counts, `slipway: N passed, N failed, N skipped`, that a person
//! and a machine can read. A build that fails is a failed run, never a skipped test.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::run::{cargo, component, loud, slipway, slipway_of_tests, slipway_path, tee};
use crate::tally::{Reader, Tally};
use crate::{check, fuzz, repro};

/// The roles every run builds.
pub const ROLES: [&str; 4] = ["lb", "etcd", "control-plane", "worker"];

/// Everything CI runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Skip what `cargo xtask check` does
    #[arg(long)]
    no_check: bool,
    /// Run only tests on booted machines whose name contains this
    filter: Option<String>,
    /// What boots the machines; both drivers without it, under QEMU only what depends on it
    #[arg(long, value_enum)]
    driver: Option<Driver>,
}

/// What boots machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// User-mode Linux: no KVM needed
    #[default]
    Uml,
    /// QEMU: KVM where it works, emulation otherwise
    Qemu,
}

impl Driver {
    /// The word that `slipway lab up --driver` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Driver::Uml => "uml",
            Driver::Qemu => "qemu",
        }
    }
}

/// Runs everything.
///
/// # Errors
/// When anything failed; the counts are printed in any case.
pub fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let mut tally = Tally::default();
    if !args.no_check {
        tally += check::run(|| promtool().map(Some))?;
    }
    if args.filter.is_none() {
        tally += fuzz::run(&fuzz::Args::short())?;
    }
    slipway_of_tests()?;
    let drivers = args.driver.map_or(vec![Driver::Uml, Driver::Qemu], |driver| vec![driver]);
    for driver in &drivers {
        build_images(*driver)?;
    }
    if args.filter.is_none() {
        tally += repro::run(&repro::Args::default())?;
    }
    let mut ok = true;
    let mut scenarios = cargo(&["test", "--workspace", "--test", "pid1", "--"]);
    scenarios.args(&args.filter).env("SLIPWAY", slipway_path());
    if let Some(driver) = args.driver {
        scenarios.env("SLIPWAY_DRIVER", driver.as_str());
    }
    let mut reader = Reader::default();
    ok &= tee(&mut scenarios, |line| reader.line(line))?;
    let left_out = reader.tally;
    tally += left_out;
    // What the check left out for want of kernels.
    if !args.no_check {
        tally.skipped = tally.skipped.saturating_sub(left_out.passed + left_out.failed + left_out.skipped);
    }
    for driver in drivers {
        // All packages, for the same features of what they share as in the unit tests.
        let mut e2e = cargo(&["test", "--workspace", "--test", "promises", "--", "--test-threads=1"]);
        e2e.args(&args.filter).env("SLIPWAY", slipway_path()).env("SLIPWAY_DRIVER", driver.as_str());
        let mut reader = Reader::default();
        ok &= tee(&mut e2e, |line| reader.line(line))?;
        tally += reader.tally;
    }
    println!("took {} min", started.elapsed().as_secs().div_ceil(60));
    println!("slipway: {tally}");
    if !ok || tally.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

/// Prometheus' own judge of our metrics, out of the lock. It is large, so `cargo xtask check` does without it.
fn promtool() -> Result<PathBuf> {
    slipway_of_tests()?;
    component("promtool")
}

/// Fetches and builds every role's image, and what a lab with `driver` boots and asks with.
///
/// # Errors
/// When the fetch or the build fails; `slipway` has then said why.
pub fn build_images(driver: Driver) -> Result<()> {
    build_roles(&ROLES)?;
    let kernel = match driver {
        Driver::Uml => "kernel-um",
        Driver::Qemu => "kernel",
    };
    loud(&mut slipway(&["build", "--component", kernel, "--component", "kubectl"])?)
}

/// Fetches everything and builds these roles' images.
///
/// # Errors
/// When the fetch or the build fails; `slipway` has then said why.
pub fn build_roles(roles: &[&str]) -> Result<()> {
    loud(&mut slipway(&["keys", "new", "--if-absent"])?)?;
    loud(&mut slipway(&["fetch"])?)?;
    loud(slipway(&["build", "--no-kernels"])?.args(roles))
}
