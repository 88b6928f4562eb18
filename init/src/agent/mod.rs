//! The agents: what a machine does beyond supervising, one process each.
//!
//! Every agent is an ordinary service of PID 1, started as `init agent NAME`; when one
//! dies, PID 1 and the others go on. Each decides in pure modules and acts in files named
//! for an effect (`task`, `observe`, `apply`). `notify` is their way to PID 1, `paths` and
//! `files` what they share on disk.

pub mod clock;
pub mod cluster;
pub mod config;
pub mod drill;
pub mod files;
pub mod host_name;
pub mod image;
pub mod login;
pub mod machine;
pub mod memory;
pub mod network;
pub mod notify;
pub mod past;
pub mod paths;
pub mod pki;
pub mod storage;

#[cfg(test)]
pub(crate) mod fixture;

use std::error::Error;
use std::process::ExitCode;

/// How an agent ends; the error and its sources are its last line.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// The agents by name: a line for each.
fn find(name: &str) -> Option<fn() -> Outcome> {
    match name {
        "clock" => Some(|| Ok(clock::run()?)),
        "cluster" => Some(|| Ok(cluster::run()?)),
        "config" => Some(|| Ok(config::run()?)),
        "host-name" => Some(|| Ok(host_name::run()?)),
        "storage" => Some(|| Ok(storage::run()?)),
        "drill" => Some(|| Ok(drill::run()?)),
        "login" => Some(|| Ok(login::run()?)),
        "memory" => Some(|| Ok(memory::run()?)),
        "network" => Some(|| Ok(network::run()?)),
        "past" => Some(|| Ok(past::run()?)),
        "count-reboot" => Some(|| Ok(past::count_reboot()?)),
        "pki" => Some(|| Ok(pki::run()?)),
        _ => None,
    }
}

/// Runs the agent that `arguments` name.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    log_to_stdout();
    let [name] = arguments else {
        tracing::error!("usage: init agent NAME");
        return ExitCode::from(2);
    };
    let Some(run) = find(name) else {
        tracing::error!(name, "no such agent");
        return ExitCode::from(2);
    };
    end(run())
}

/// Runs one of our own processes that is no agent.
pub fn process<E: Error + Send + Sync + 'static>(run: impl FnOnce() -> Result<(), E>) -> ExitCode {
    log_to_stdout();
    end(run().map_err(Into::into))
}

fn end(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(error.as_ref()), "giving up");
            ExitCode::FAILURE
        }
    }
}

/// Plain lines on stdout: the supervisor stamps them.
pub fn log_to_stdout() {
    // A second call in one process (a test) changes nothing, and that is fine.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .try_init();
}

/// An error and its sources in one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_agent_is_refused() {
        assert_eq!(main(&["nobody".to_owned()]), ExitCode::from(2));
    }
}
