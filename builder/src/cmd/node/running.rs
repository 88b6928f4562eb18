//! `slipway config running`: the config that machines run with, secrets left out.
//!
//! `slipway config show` looks into a file on this side; this one asks the machines.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::Config;

use super::table::clean;
use super::whom::Whom;
use super::{print, show};
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the whole text, not just whose it is and how long it counts
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    whom: Whom,
}

const HEAD: [&str; 6] = ["CLUSTER", "ROLE", "SERIAL", "SOURCE", "ISSUED", "EXPIRES"];

/// Runs the verb.
///
/// # Errors
/// Not everybody answered.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let question = Question::of(Verb::Config);
    if !args.text || context.json {
        return show::table::<Config>(&args.whom, context, &question, &HEAD, |config| {
            let Config { cluster, role, serial, source, issued, expires, .. } = config.clone();
            vec![vec![
                cluster.into(),
                role.into(),
                serial.to_string().into(),
                source.into(),
                issued.into(),
                expires.into(),
            ]]
        });
    }
    let target = args.whom.target()?;
    show::batches::<Config>(&args.whom, &target, &question, |said| {
        for (machine, answer) in said {
            match answer {
                Ok(config) => {
                    let source = clean(&config.source);
                    print::line(format_args!("# {}, from {source}; secrets left out", machine.name))?;
                    config.text.lines().try_for_each(|line| print::line(clean(line)))?;
                }
                Err(error) => eprintln!("{}: {}", machine.name, clean(&format!("{error:#}"))),
            }
        }
        Ok(())
    })
}
