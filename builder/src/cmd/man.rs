//! `slipway man`: the manual, a page per verb.
//!
//! Generated from the command line itself; packages run it when they are made.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::CommandFactory;

use crate::cmd::{Cli, Context};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory to write the pages into
    directory: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// The directory can't be written.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let writing = || format!("writing manual pages into {}", args.directory.display());
    std::fs::create_dir_all(&args.directory).with_context(writing)?;
    clap_mangen::generate_to(Cli::command(), &args.directory).with_context(writing)?;
    if !context.json {
        println!("man {}/slipway.1", args.directory.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Cli::command(), dir.path()).unwrap();
        for page in ["slipway.1", "slipway-status.1", "slipway-services-stop.1", "slipway-config-running.1"] {
            assert!(dir.path().join(page).exists(), "{page}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
