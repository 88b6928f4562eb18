//! Development tasks: `cargo xtask check | test | demo | repro | bench | mutants | fuzz | soak`.
//!
//! `check` is what must hold before every commit, `test` is what CI runs, `demo` shows
//! the whole road on this machine, `repro` proves that it makes the same bytes elsewhere,
//! `bench` measures it, `mutants` breaks it to see who notices, `fuzz` feeds it anything, `soak` wears it down. A task is a
//! file; what they run are the ordinary tools and the real `slipway`, so each can be typed by hand too.

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod check;
mod demo;
mod fuzz;
mod log_path;
mod mutants;
mod repro;
mod run;
mod scenarios;
mod soak;
mod tally;
mod test;
mod tidy;

use tally::Tally;

/// Development tasks of Slipway.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Format, lints, tidy and unit tests: minutes, no machine boots
    Check,
    /// Everything CI runs: check, image builds, tests on booted machines
    Test(test::Args),
    /// From the lock file to a pod that answers, on four machines
    Demo(demo::Args),
    /// Every image once more, elsewhere: are the bytes the same?
    Repro(repro::Args),
    /// Measure
    Bench(bench::Args),
    /// Breaks the decision core in the ways of tests/mutants.toml: do its tests notice?
    Mutants(mutants::Args),
    /// Any bytes, for everything that reads bytes from elsewhere
    Fuzz(fuzz::Args),
    /// Half an hour of kills, stops, reloads, storms and clients on one machine: what is left of it?
    Soak(soak::Args),
    /// How fast lines go from a service's pipe to their rings, beside s6-log
    LogPath(log_path::Args),
    #[command(name = repro::elsewhere::TASK, hide = true)]
    Elsewhere,
    #[command(name = bench::supervisor::TASK, hide = true)]
    Room,
    #[command(name = bench::supervisor::FIRST, hide = true)]
    RoomFirst { plan: String },
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Check => check::run(|| Ok(None)).map(|tally| println!("{tally}")),
        Task::Test(args) => test::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Repro(args) => repro::run(&args).and_then(Tally::verdict),
        Task::Fuzz(args) => fuzz::run(&args).and_then(Tally::verdict),
        Task::Soak(args) => soak::run(&args),
        Task::LogPath(args) => log_path::run(&args),
        Task::Elsewhere => repro::elsewhere::enter(),
        Task::Room => bench::supervisor::enter(),
        Task::RoomFirst { plan } => bench::supervisor::become_first(&plan),
        Task::Bench(args) => bench::run(&args),
        Task::Mutants(args) => mutants::run(&args),
    }
}
