//! `slipway completion`: what a shell completes.
//!
//! Generated from the command line itself, so it knows every verb and option.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cmd::Cli;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell: bash, zsh or fish among others
    shell: Shell,
}

/// Prints the shell's script.
///
/// # Errors
/// None.
pub fn run(args: &Args) -> Result<()> {
    clap_complete::generate(args.shell, &mut Cli::command(), "slipway", &mut std::io::stdout());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "slipway", &mut script);
            let script = String::from_utf8(script).unwrap();
            for verb in ["status", "explain", "dashboard", "cluster"] {
                assert!(script.contains(verb), "{shell}: {verb}");
            }
        }
    }
}
