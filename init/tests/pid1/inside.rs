//! The half of a scenario that runs in the machine, as its service `scenario`.
//!
//! It reports on a terminal of its own, so that the console is what PID 1 wrote, and then switches the
//! machine off by asking PID 1. A failed scenario adds what PID 1 knows.

use std::fs::{self, File};
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use init::control::message::{Ending, Order};

use crate::ask::Pid1;
use crate::boot::Boot;

/// How a line of the report begins.
pub(crate) const REPORT: &str = "scenario: ";
/// The last line of a good one.
pub(crate) const PASSED: &str = "scenario: passed";

/// What names the terminal of the report on the kernel's command line.
pub(crate) const REPORT_WORD: &str = "SCENARIO_REPORT";

/// Where the report goes unless that says otherwise.
const TERMINAL: &str = "/dev/tty1";
const BEGUN: &str = "/run/scenario-begun";

/// What the kernel's command line says of `word`.
pub(crate) fn said(word: &str) -> Option<String> {
    let words = fs::read_to_string("/proc/cmdline").ok()?;
    words.split_whitespace().find_map(|said| Some(said.strip_prefix(word)?.strip_prefix('=')?.to_owned()))
}

/// Adds a line to the report.
pub(crate) fn report(text: &str) {
    let named = said(REPORT_WORD);
    let terminal = named.as_deref().unwrap_or(TERMINAL);
    let told = File::options().write(true).open(terminal).and_then(|mut terminal| {
        text.lines().try_for_each(|line| terminal.write_all(format!("{REPORT}{line}\n").as_bytes()))
    });
    // Nobody else to tell.
    let _ = told;
}

/// Becomes the service `scenario`.
pub(crate) fn run(scenario: fn(&Boot)) -> ExitCode {
    if Path::new(BEGUN).exists() {
        report("failed: it was started twice");
        switch_off();
    }
    File::create(BEGUN).unwrap();
    scenario(&Boot::Inside);
    unreachable!("a scenario boots a machine");
}

/// Does `scenario`, reports and ends the machine.
pub(crate) fn play(scenario: impl FnOnce(&Pid1)) -> ! {
    panic::set_hook(Box::new(|panic| report(&panic.to_string())));
    match panic::catch_unwind(AssertUnwindSafe(|| scenario(&Pid1))) {
        Ok(()) => report("passed"),
        Err(_) => {
            report("failed; PID 1 knows:");
            let knows = panic::catch_unwind(|| report(&Pid1.knows()));
            if knows.is_err() {
                report("nothing");
            }
        }
    }
    switch_off()
}

fn switch_off() -> ! {
    loop {
        let reason = "the scenario is over".to_owned();
        let order = Order::Shutdown { ending: Ending::PowerOff, reason, now: false };
        let asked = panic::catch_unwind(|| Pid1.order(order));
        thread::sleep(if asked.is_ok() { Duration::from_secs(600) } else { Duration::from_secs(1) });
    }
}
