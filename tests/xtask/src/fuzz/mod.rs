//! `cargo xtask fuzz`: every reader of bytes from elsewhere, given any bytes.
//!
//! Builds `tests/fuzz` with coverage counters on the stable toolchain and has libFuzzer run it, a target after the other.
//! What is found goes on in `target/fuzz/corpus`; the little that reaches every edge is kept in `tests/fuzz/corpus`. A
//! crash leaves its input, and the command says where and how to have it once more. `report` reads what libFuzzer prints,
//! `corpus` chooses what is kept.

mod corpus;
mod report;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, loud, root, target_dir};
use crate::tally::Tally;
use report::Report;

/// Where targets are, a file each.
const TARGETS: &str = "tests/fuzz/src/targets";
/// Our only platform. Named, it keeps the counters out of build scripts and procedural macros.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// What `cargo fuzz --sanitizer none` has rustc do, all of it stable: counters at every edge, and comparisons told.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// An input may take so many seconds before it counts as one that never ends.
const TIMEOUT: &str = "-timeout=30";
/// Longer inputs find nothing that shorter ones don't, and take longer.
const LENGTH: &str = "-max_len=2048";
/// More memory than any reader may take, in MiB.
const MEMORY: &str = "-rss_limit_mb=1024";

/// What to run, and how long.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Only these targets
    targets: Vec<String>,
    /// So many inputs for each
    #[arg(long, conflicts_with = "seconds")]
    runs: Option<u64>,
    /// So many seconds for each; 3 without it and without --runs
    #[arg(long)]
    seconds: Option<u64>,
    /// Only this input, for the one target that is named: to see a crash again
    #[arg(long, conflicts_with_all = ["runs", "seconds"])]
    input: Option<PathBuf>,
    /// Leave tests/fuzz/corpus as it is
    #[arg(long)]
    no_keep: bool,
}

impl Args {
    /// What CI runs: a moment per target, and nothing in the checkout changes.
    pub fn short() -> Self {
        Self { seconds: Some(3), no_keep: true, ..Self::default() }
    }
}

/// Runs the targets; a failed one does not keep the others from running.
///
/// # Errors
/// The build fails, or there is no such target.
pub fn run(args: &Args) -> Result<Tally> {
    let all = targets(&root().join(TARGETS))?;
    let chosen = if args.targets.is_empty() { &all } else { &args.targets };
    for name in chosen {
        ensure!(all.contains(name), "there is no target {name}; there are {}", all.join(", "));
    }
    let program = build()?;
    if let Some(input) = &args.input {
        let [name] = &chosen[..] else { bail!("an input is one target's: name it") };
        loud(Command::new(&program).env("FUZZ_TARGET", name).arg(input))?;
        return Ok(Tally { passed: 1, ..Tally::default() });
    }
    let mut tally = Tally::default();
    println!(
        "{:<10} {:>11} {:>9} {:>7} {:>9} {:>6}",
        "target", "inputs", "per s", "edges", "features", "corpus"
    );
    for name in chosen {
        let place = Place::new(name)?;
        let report = place.fuzz(&program, args)?;
        println!("{name:<10} {report}");
        match place.crash()? {
            Some(input) => {
                tally.failed += 1;
                println!("{name}: {}", report.panic.as_deref().unwrap_or("failed without a panic"));
                println!("  input:   {}", input.display());
                println!("  again:   cargo xtask fuzz {name} --input {}", input.display());
                println!("  all of what was printed: {}", place.log.display());
            }
            None if report.ended_well => tally.passed += 1,
            None => bail!("fuzzing {name} ended early: see {}", place.log.display()),
        }
        if !args.no_keep {
            corpus::keep(&program, &place)?;
        }
    }
    Ok(tally)
}

/// The targets' names.
fn targets(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry.with_context(|| format!("listing {}", directory.display()))?.path();
        names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.retain(|name| name != "mod");
    names.sort();
    Ok(names)
}

/// The program with all targets. It has a target directory of its own: the counters go into everything that it is made of.
fn build() -> Result<PathBuf> {
    let directory = target_dir().join("fuzz");
    let mut build = cargo(&["build", "--quiet", "--profile", "fuzz", "--target", PLATFORM]);
    build.args(["--package", "fuzz", "--features", "libfuzzer", "--bin", "fuzz"]);
    build.env("RUSTFLAGS", COVERAGE.join(" ")).env("CARGO_TARGET_DIR", &directory);
    loud(&mut build)?;
    Ok(directory.join(PLATFORM).join("fuzz/fuzz"))
}

/// Where a target's inputs are.
struct Place {
    name: String,
    /// Everything that was ever found here.
    found: PathBuf,
    /// What is kept in the checkout.
    kept: PathBuf,
    /// Real examples, written by the target itself.
    seeds: PathBuf,
    /// What it failed on.
    crashes: PathBuf,
    log: PathBuf,
}

impl Place {
    fn new(name: &str) -> Result<Self> {
        let work = target_dir().join("fuzz");
        let at = |kind: &str| work.join(kind).join(name);
        let place = Self {
            name: name.to_owned(),
            found: at("corpus"),
            kept: root().join("tests/fuzz/corpus").join(name),
            seeds: at("seeds"),
            crashes: at("crashes"),
            log: at("log").with_extension("txt"),
        };
        // Seeds are made anew, and a crash of an earlier run is not one of this.
        for directory in [&place.seeds, &place.crashes] {
            if directory.exists() {
                fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
            }
        }
        for directory in [&place.found, &place.kept, &place.seeds, &place.crashes] {
            fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        }
        if let Some(directory) = place.log.parent() {
            fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        }
        Ok(place)
    }

    /// The program for this target.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("FUZZ_TARGET", &self.name);
        command
    }

    fn fuzz(&self, program: &Path, args: &Args) -> Result<Report> {
        let log = File::create(&self.log).with_context(|| format!("writing {}", self.log.display()))?;
        let mut command = self.command(program);
        command.env("FUZZ_SEEDS", &self.seeds).args([TIMEOUT, LENGTH, MEMORY, "-print_final_stats=1"]);
        command.arg(format!("-artifact_prefix={}/", self.crashes.display()));
        command.arg(match (args.runs, args.seconds) {
            (Some(runs), _) => format!("-runs={runs}"),
            (None, seconds) => format!("-max_total_time={}", seconds.unwrap_or(3)),
        });
        // New inputs go to the first of them.
        command.args([&self.found, &self.kept, &self.seeds]);
        let out = log.try_clone().with_context(|| format!("writing {}", self.log.display()))?;
        let status = command.stdout(out).stderr(log).status().context("starting the fuzzer")?;
        let text = fs::read(&self.log).with_context(|| format!("reading {}", self.log.display()))?;
        Ok(Report::read(&String::from_utf8_lossy(&text), status.success()))
    }

    /// What this run failed on.
    fn crash(&self) -> Result<Option<PathBuf>> {
        let mut entries =
            fs::read_dir(&self.crashes).with_context(|| format!("listing {}", self.crashes.display()))?;
        let first = entries.next().transpose();
        Ok(first.with_context(|| format!("listing {}", self.crashes.display()))?.map(|entry| entry.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_beside_the_list_is_a_target() {
        let names = targets(&root().join(TARGETS)).unwrap();
        let list = fs::read_to_string(root().join(TARGETS).join("mod.rs")).unwrap();
        assert!(!names.is_empty());
        assert!(list.contains(&format!("targets! {{ {} }}", names.join(" "))), "{names:?}");
    }
}
