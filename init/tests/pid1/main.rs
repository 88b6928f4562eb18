//! Scenarios against the real `init` as PID 1 of User-mode Linux machines, a machine each.
//!
//! A test is one function that runs twice: on this host it boots a machine whose services it names,
//! and in that machine, as its service `scenario`, it asks PID 1, breaks things and looks.
//! This program is also what the services run (`actor`). Without a kernel (`slipway` builds
//! it, `SLIPWAY` names `slipway`) everything is ignored, and says so. `SCENARIO_SHOW=1` shows machines that were well, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests too")]

mod actor;
mod api;
mod ask;
mod boot;
mod dependencies;
mod disk;
mod ends;
mod image;
mod inside;
mod kernel;
mod logs;
mod look;
mod machine;
mod meddle;
mod processes;
mod readiness;
mod rights;
mod soak;
mod strain;
mod succession;
mod system;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use boot::Boot;

/// Why nothing runs.
const NOT_ASKED_FOR: &str = "SLIPWAY is not set";

/// A test: its name and what it does.
type Scenario = (&'static str, fn(&Boot));

/// The functions with these names, as scenarios.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => { vec![$((stringify!($name), $name as fn(&$crate::boot::Boot))),*] };
}
pub(crate) use scenarios;

fn all() -> Vec<Scenario> {
    [
        dependencies::scenarios(),
        processes::scenarios(),
        readiness::scenarios(),
        rights::scenarios(),
        ends::scenarios(),
        strain::scenarios(),
        system::scenarios(),
        succession::scenarios(),
        logs::scenarios(),
        soak::scenarios(),
    ]
    .concat()
}

fn main() -> ExitCode {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    if program.ends_with("/actor") {
        return actor::run(&words);
    }
    match words.split_first() {
        Some((first, [name])) if first == "inside" => {
            let found = all().into_iter().find(|(other, _)| other == name);
            inside::run(found.expect("a scenario of that name").1)
        }
        _ => outside(),
    }
}

fn outside() -> ExitCode {
    // A failed test is printed once, at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments = Arguments::from_args();
    let host = if arguments.list { None } else { kernel::find() };
    let host = host.map(|kernel| kernel.map(machine::Host::new));
    let trials = all().into_iter().map(|(name, scenario)| match &host {
        Some(Ok(host)) => {
            let boot = Boot::outside(name, host.clone());
            Trial::test(name, move || {
                scenario(&boot);
                Ok(())
            })
        }
        Some(Err(why)) => {
            let why = why.clone();
            Trial::test(name, move || Err(why.into()))
        }
        None => Trial::test(name, || Ok(())).with_kind(NOT_ASKED_FOR).with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
