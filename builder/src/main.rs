//! `slipway`: builds the images of Kubernetes machines, boots them in a lab, operates them.
//!
//! This file turns the command line into one call of a verb in `cmd`, sets up logging on stderr
//! and prints the error chain. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use slipway::cmd::Cli;

fn main() -> ExitCode {
    // Build steps run in a sandbox whose first processes are this program again.
    if let Some(code) = slipway::sandbox::entry::entered() {
        return code;
    }
    let cli = Cli::parse();
    let context = cli.context();
    context.start_logging();
    let outcome = if cli.only_prints() { slipway::die_of_broken_pipe() } else { Ok(()) };
    match outcome.map_err(Into::into).and_then(|()| cli.run(&context)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            context.report(&error);
            ExitCode::FAILURE
        }
    }
}
