//! Scenarios against the real `init` as PID 1 of machines, a machine each: User-mode Linux's, and QEMU's for hardware.
//!
//! A test is one function that runs twice: on this host it boots a machine whose services it names,
//! and in that machine, as its service `scenario`, it asks PID 1, breaks things and looks.
//! This program is also what the services run (`actor`). Without kernels (`slipway` builds
//! them, `SLIPWAY` names `slipway`, `SLIPWAY_DRIVER` one kind of machine) everything is ignored, and says so.
//! `SCENARIO_SHOW=1` shows machines that were well, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests too")]

mod actor;
mod api;
mod ask;
mod boot;
mod dependencies;
mod disk;
mod emulator;
mod ends;
mod hardware;
mod image;
mod inside;
mod kernel;
mod logs;
mod look;
mod machine;
mod meddle;
mod processes;
mod readiness;
mod soak;
mod strain;
mod succession;
mod system;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use boot::Boot;
use emulator::{Absence, Emulator, Kind};
use machine::Host;

/// A test: its name and what it does.
type Scenario = (&'static str, fn(&Boot));

/// The functions with these names, as scenarios.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => { vec![$((stringify!($name), $name as fn(&$crate::boot::Boot))),*] };
}
pub(crate) use scenarios;

/// Those whose machines are of this kind.
fn of(kind: Kind) -> Vec<Scenario> {
    match kind {
        Kind::Uml => [
            dependencies::scenarios(),
            processes::scenarios(),
            readiness::scenarios(),
            ends::scenarios(),
            strain::scenarios(),
            system::scenarios(),
            succession::scenarios(),
            logs::scenarios(),
            soak::scenarios(),
        ]
        .concat(),
        Kind::Qemu => hardware::scenarios(),
    }
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
            let all = [Kind::Uml, Kind::Qemu].into_iter().flat_map(of);
            let found = all.into_iter().find(|(other, _)| other == name);
            inside::run(found.expect("a scenario of that name").1)
        }
        _ => outside(),
    }
}

fn outside() -> ExitCode {
    // A failed test is printed once, at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments = Arguments::from_args();
    let host = Host::new();
    let mut trials = Vec::new();
    for kind in [Kind::Uml, Kind::Qemu] {
        let scenarios = of(kind);
        // A kernel that nobody has built is built for those only who run something on it.
        let meant = |name: &str| arguments.filter.as_deref().is_none_or(|filter| name.contains(filter));
        let emulator = if !arguments.list && scenarios.iter().any(|(name, _)| meant(name)) {
            Emulator::find(kind)
        } else {
            Err(Absence::NotAskedFor("no test of these is meant"))
        };
        trials.extend(scenarios.into_iter().map(|scenario| trial(scenario, &host, &emulator)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial((name, scenario): Scenario, host: &Host, emulator: &Result<Emulator, Absence>) -> Trial {
    match emulator {
        Ok(emulator) => {
            let boot = Boot::Outside(name, host.clone(), emulator.clone());
            Trial::test(name, move || {
                scenario(&boot);
                Ok(())
            })
        }
        Err(Absence::Missing(why)) => {
            let why = why.clone();
            Trial::test(name, move || Err(why.into()))
        }
        Err(Absence::NotAskedFor(why)) => {
            Trial::test(name, || Ok(())).with_kind(*why).with_ignored_flag(true)
        }
    }
}
