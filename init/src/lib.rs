//! PID 1, the initramfs stage and the machine's agents.
//!
//! `stage1` finds and verifies the slot, `boot` prepares the kernel's interfaces,
//! `supervisor` keeps the services of the image running and `shutdown` ends them. `agent`
//! and `probe` are processes of their own, started by the supervisor like any service:
//! nothing that parses bytes from the network runs as PID 1.

pub mod agent;
pub mod disk;
pub mod probe;
pub mod stage1;
pub mod tls;

use std::process::ExitCode;

/// Becomes what the process's id and `arguments` say.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    if std::process::id() == 1 && !std::path::Path::new(agent::paths::IMAGE).exists() {
        stage1::run();
        return ExitCode::FAILURE;
    }
    match arguments.split_first() {
        Some((word, rest)) if word == "agent" => agent::main(rest),
        Some((word, rest)) if word == "probe" => probe_main(rest),
        _ => {
            complain("usage: init agent NAME | init probe KIND TARGET…");
            ExitCode::from(2)
        }
    }
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
