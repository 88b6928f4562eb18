//! The verbs that ask machines: one file each.
//!
//! Every one takes the same words for whom to ask (`Whom`), asks all machines at once, and shows a row per machine, or
//! per what the machine told; one that does not answer is a row, too, and makes the command fail in the end. `table`
//! and `paint` are how it looks, `show` and `stream` what the verbs have in common.

mod boot;
mod dashboard;
mod disks;
mod dmesg;
mod end;
mod events;
mod explain;
mod logs;
mod mounts;
mod network;
mod paint;
mod pid1;
mod print;
mod processes;
mod running;
mod services;
mod show;
mod status;
mod stream;
mod table;
mod version;
mod whom;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Handle};

use crate::cmd::Context;

pub use running::Args as RunningArgs;
pub use running::run as running;

/// Not every machine did what was wanted. Which ones, and why, was printed with the others' answers.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {all} machines did not do it")]
pub struct Unanswered {
    failed: usize,
    all: usize,
}

/// What machines are asked.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show what runs on machines.
    Version(version::Args),
    /// Show how machines are: stage, services, alarms, memory, load.
    Status(status::Args),
    /// List services; start, stop, restart, reload, reset, signal, hold and release one.
    Services(services::Args),
    /// Print what services, the kernel and PID 1 have said.
    Logs(logs::Args),
    /// Print what has happened since boot, each with its cause.
    Events(events::Args),
    /// Say why a service is not ready, link by link.
    Explain(explain::Args),
    /// Print what the kernel has said.
    Dmesg(dmesg::Args),
    /// List processes and whose they are.
    Processes(processes::Args),
    /// List what is mounted where, and how full it is.
    Mounts(mounts::Args),
    /// List disks and their partitions.
    Disks(disks::Args),
    /// Show links, addresses, routes, resolvers and the DHCP lease.
    Network(network::Args),
    /// Show when machines and their services reached what.
    Boot(boot::Args),
    /// End machines and start them again.
    Reboot(end::Args),
    /// End machines and switch them off.
    Shutdown(end::Args),
    /// Have PID 1 of machines do something to itself.
    Pid1(pid1::Args),
    /// Watch machines, services, logs and events.
    Dashboard(dashboard::Args),
}

/// Runs the verb.
///
/// # Errors
/// There is nobody to ask, or not everybody answered.
pub fn run(verb: Verb, context: &Context) -> Result<()> {
    match verb {
        Verb::Version(args) => version::run(&args, context),
        Verb::Status(args) => status::run(&args, context),
        Verb::Services(args) => services::run(&args, context),
        Verb::Logs(args) => logs::run(&args, context),
        Verb::Events(args) => events::run(&args, context),
        Verb::Explain(args) => explain::run(&args, context),
        Verb::Dmesg(args) => dmesg::run(&args, context),
        Verb::Processes(args) => processes::run(&args, context),
        Verb::Mounts(args) => mounts::run(&args, context),
        Verb::Disks(args) => disks::run(&args, context),
        Verb::Network(args) => network::run(&args, context),
        Verb::Boot(args) => boot::run(&args, context),
        Verb::Reboot(args) => end::run(&args, node_api::Verb::Reboot, context),
        Verb::Shutdown(args) => end::run(&args, node_api::Verb::Shutdown, context),
        Verb::Pid1(args) => pid1::run(&args, context),
        Verb::Dashboard(args) => dashboard::run(&args),
    }
}

/// Machines are asked on a thread of its own, and one is enough for as many as a table has rows: whoever reads our
/// output may take their time over it, and no machine's deadline passes meanwhile.
fn runtime() -> Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let handle = runtime.handle().clone();
    // It ends with the process.
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use node_api::verb::{Method, TABLE};

    use crate::cmd::Cli;

    #[test]
    fn what_changes_machines_wants_to_be_told_which() {
        let orders = [
            "services start etcd",
            "services stop etcd --cascade",
            "services restart etcd",
            "services reload etcd",
            "services reset etcd",
            "services signal etcd hup",
            "services hold etcd",
            "services release etcd",
            "pid1 reexec",
            "reboot",
            "shutdown --reason test",
        ];
        for order in orders {
            let parse = |more: &[&str]| {
                Cli::try_parse_from(
                    ["slipway"].into_iter().chain(order.split(' ')).chain(more.iter().copied()),
                )
            };
            // Nobody is asked: there is no such cluster.
            let run = |more: &[&str]| {
                let cli = parse(&[&["--cluster", "/nonexistent"], more].concat()).unwrap();
                let context = cli.context();
                cli.run(&context).unwrap_err().to_string()
            };
            assert!(run(&[]).contains("--all"), "{order}: {}", run(&[]));
            for told in [&["--all"][..], &["--node", "w1"]] {
                assert!(run(told).contains("/nonexistent"), "{order}: {}", run(told));
            }
            assert!(parse(&["--all", "--node", "w1"]).is_err(), "{order}");
        }
        let changing = TABLE.iter().filter(|route| route.method == Method::Post).count();
        assert_eq!(orders.len(), changing, "a verb is missing here");
    }
}
