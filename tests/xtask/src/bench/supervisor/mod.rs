//! `cargo xtask bench supervisor`: our PID 1 beside dinit, s6, runit and systemd.
//!
//! Everybody runs as PID 1 of a room (`room`, `inside`), supervises the same services (tests/stamp, described by
//! `set`), and goes through the same trials (`trial`, `storm`) in turns, so that a busy moment hits all of them.
//! s6, runit and systemd come out of the lock (component `rivals`), ours and the service as an image
//! has them; dinit is in no Debian and takes `--dinit DIR`. It takes root.

mod inside;
mod process;
mod rival;
mod room;
mod row;
mod set;
mod stamps;
mod storm;
mod table;
mod trial;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum as _;
use serde_json::json;

use self::rival::{Programs, Rival};
use self::row::Row;
use self::table::Found;
use self::trial::Trial;
use crate::log_path;
use crate::run::component;

pub use inside::{FIRST, become_first, enter};
pub use room::TASK;

/// Milliseconds of CPU that a process took where the goals were set (supervisors.md 3.1, floor).
const GOALS_PROCESS: f64 = 0.16;

/// What is measured, and how often.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the figures go as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these supervisors (ours, dinit, s6, runit, systemd) and trials (memory, start, chain, restart, delay,
    /// crash, orphans, log)
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// How often everything is tried; medians are printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many services are started at once
    #[arg(long, default_value_t = 100)]
    services: u32,
    /// The directory with dinit's program, which Debian does not have
    #[arg(long, value_name = "DIR", env = "SLIPWAY_DINIT")]
    dinit: Option<PathBuf>,
    /// An init to measure instead of an image's
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// Programs cannot be built or fetched, or a supervisor does not do what it must.
pub fn run(args: &Args) -> Result<()> {
    let (rivals, trials) = chosen(&args.only, args.dinit.is_some())?;
    let programs = programs(args)?;
    let process = process::cost(&programs.stamp)?.as_secs_f64() * 1e3;
    let mut found = Found::default();
    for round in 1..=args.rounds.max(1) {
        for trial in &trials {
            if *trial == Trial::Log {
                continue;
            }
            for rival in &rivals {
                eprintln!("round {round}: {trial:?} of {}", rival.name());
                let figures = trial
                    .run(*rival, &programs, args.services)
                    .with_context(|| format!("{trial:?} of {}", rival.name()))?;
                for (row, figure) in figures {
                    found.add(*rival, row, figure);
                }
            }
        }
    }
    if trials.contains(&Trial::Log) {
        log(&programs, args.rounds, &mut found)?;
    }
    let lines = found.lines(args.services);
    table::print(&lines);
    println!(
        "A process that only begins and ends takes {process:.2} ms of CPU here; the goals were set where it took {GOALS_PROCESS} ms."
    );
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(
            &json!({ "services": args.services, "process-cpu-ms": process, "rows": lines }),
        )?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Whom `only` names; nobody of a kind means all of that kind.
fn chosen(only: &[String], dinit: bool) -> Result<(Vec<Rival>, Vec<Trial>)> {
    let (mut rivals, mut trials) = (Vec::new(), Vec::new());
    for name in only {
        match (Rival::from_str(name, true), Trial::from_str(name, true)) {
            (Ok(rival), _) => rivals.push(rival),
            (_, Ok(trial)) => trials.push(trial),
            _ => bail!("there is neither a supervisor nor a trial {name}"),
        }
    }
    if rivals.is_empty() {
        rivals.extend(Rival::ALL.into_iter().filter(|rival| *rival != Rival::Dinit || dinit));
        if !dinit {
            eprintln!("dinit is left out: no Debian has it, --dinit DIR names one");
        }
    }
    if trials.is_empty() {
        trials.extend(Trial::ALL);
    }
    Ok((rivals, trials))
}

fn programs(args: &Args) -> Result<Programs> {
    Ok(Programs {
        init: match &args.init {
            Some(init) => init.clone(),
            None => component("init")?.join("usr/sbin/init"),
        },
        stamp: component("stamp")?.join("stamp"),
        rivals: component("rivals")?,
        dinit: args.dinit.clone(),
    })
}

/// The logger of an image beside s6-log, each by itself.
fn log(programs: &Programs, rounds: usize, found: &mut Found) -> Result<()> {
    for row in log_path::measure(&programs.init, rounds, &log_path::s6_log_of(&programs.rivals))? {
        let rival = match row.logger.as_str() {
            "logd" => Rival::Ours,
            "s6-log t" => Rival::S6,
            _ => continue,
        };
        let title = if row.writing == "bulk" { Row::LogBulk } else { Row::LogLine };
        found.add(rival, title, row.mb_per_second);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_supervisors_and_trials_alike() {
        let names = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(chosen(&names(&["ours", "stop-it"]), true).is_err());
        let (rivals, trials) = chosen(&names(&["s6", "chain"]), true).unwrap();
        assert_eq!((rivals, trials), (vec![Rival::S6], vec![Trial::Chain]));
        let (rivals, trials) = chosen(&[], false).unwrap();
        assert!(!rivals.contains(&Rival::Dinit), "nobody has given one");
        assert_eq!(trials, Trial::ALL);
    }
}
