//! PID 1, the initramfs stage and the machine's agents.
//!
//! `stage1` finds and verifies the slot, `boot` prepares the kernel's interfaces,
//! `supervisor` keeps the services of the image running and `shutdown` ends them. `agent`,
//! `apid`, `probe`, `probed`, `logd` and `forward` are processes of their own, started by the
//! supervisor: nothing that parses bytes from the network runs as PID 1.

pub mod agent;
pub mod apid;
pub mod boot;
pub mod cgroup;
pub mod console;
pub mod control;
pub mod disk;
pub mod fence;
pub mod forward;
pub mod logd;
pub mod monotonic;
pub mod probe;
pub mod probed;
pub mod remembered;
pub mod service;
pub mod shutdown;
pub mod stage1;
pub mod supervisor;
pub mod text;
pub mod tls;
pub mod watchdog;

mod pid1;

use std::path::Path;
use std::process::ExitCode;

use supervisor::succession::Reason;

/// Becomes what the process's id and `arguments` say.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    match arguments.split_first() {
        Some((word, rest)) if word == "agent" => agent::main(rest),
        Some((word, [])) if word == "apid" => agent::process(apid::run),
        Some((word, rest)) if word == "probe" => probe_main(rest),
        Some((word, [])) if word == "probed" => agent::process(probed::run),
        Some((word, rest)) if word == "logd" => logd::main(rest),
        Some((word, rest)) if word == "log-forward" => forward::main(rest),
        Some((word, [])) if word == shutdown::UNMOUNT => {
            shutdown::unmount::run();
            shutdown::say_done();
            ExitCode::SUCCESS
        }
        Some((word, [])) if word == shutdown::SYNC => {
            node_sys::power::sync();
            ExitCode::SUCCESS
        }
        // The kernel may hand over words of its command line; only our own matter.
        _ if std::process::id() == 1 => first_process(arguments),
        _ => {
            complain("usage: init agent NAME | init apid | init probe KIND TARGET…");
            ExitCode::from(2)
        }
    }
}

/// Without an image around it, the first process is in the initramfs. It never ends well: the
/// kernel panics when it does, and starts the machine again.
fn first_process(arguments: &[String]) -> ExitCode {
    if let [word, number] = arguments
        && let Some(reason) = Reason::from_word(word)
    {
        pid1::succeed(reason, number);
    } else if Path::new(agent::paths::IMAGE).exists() {
        pid1::run();
    } else {
        stage1::run();
    }
    ExitCode::FAILURE
}

fn probe_main(arguments: &[String]) -> ExitCode {
    agent::log_to_stdout();
    match probe::Question::parse(arguments) {
        Ok(question) => {
            probe::wait(&question);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("init probe: {error}"));
            ExitCode::from(2)
        }
    }
}

fn complain(text: &str) {
    eprintln!("{text}");
}
