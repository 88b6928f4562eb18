//! Promises, checked on booted machines: the real images, the real kernel, the real `slipway`.
//!
//! A module per topic, a sentence per test. `cargo xtask test` builds what they boot and
//! runs them one after another, since each takes what the host has. A test that can't run
//! under a driver says so and is not counted as passed.

mod cluster;
mod refusals;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(refusals::trials());
    trials.extend(cluster::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    cluster::take_down();
    conclusion.exit_code()
}
