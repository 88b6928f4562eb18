//! Promises, checked on booted machines: the real images, the real kernel, the real `slipway`.
//!
//! A module per topic, a sentence per test. `cargo xtask test` builds what they boot and
//! runs them one after another, since each takes what the host has. Emulation takes ten
//! times as long, so under QEMU the rest is left out, and counted so, unless asked for.

mod cluster;
mod dashboard;
mod node_api;
mod refusals;

use e2e::cli;
use libtest_mimic::{Arguments, Trial};

/// What runs under QEMU too: what depends on the machine's own kernel and devices, and that the
/// whole road ends at a pod that answers.
const UNDER_QEMU: [&str; 5] = [
    "a_machine_with_a_good_config_comes_up",
    "a_flipped_byte_in_the_root_is_refused_when_it_is_read",
    "the_worker_becomes_ready_through_the_load_balancer",
    "a_pod_answers_by_its_service_address_from_another_machine",
    "a_pod_finds_a_service_by_its_dns_name",
];

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(refusals::trials());
    trials.extend(cluster::trials());
    trials.extend(dashboard::trials());
    // On the same cluster, and last: they stop, reboot and switch off.
    trials.extend(node_api::trials());
    if cli::driver() == "qemu" {
        trials = trials
            .into_iter()
            .map(|trial| {
                let left_out = !UNDER_QEMU.contains(&trial.name());
                trial.with_ignored_flag(left_out)
            })
            .collect();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    cluster::take_down();
    conclusion.exit_code()
}
