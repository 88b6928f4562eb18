//! `slipway lab list`: the labs of this user, and which of them run.
//!
//! A lab that is listed as stopped has failed or lost its supervisor: its consoles are still there to be read, and
//! `slipway lab down` removes them.

use anyhow::Result;
use serde_json::json;

use super::labs;
use crate::cmd::Context;

/// Runs the verb.
///
/// # Errors
/// The directory of labs can't be read.
pub fn run(context: &Context) -> Result<()> {
    let labs = labs()?;
    for lab in labs.list()? {
        let directory = labs.dir(&lab.name);
        let directory = directory.path();
        if context.json {
            println!("{}", json!({ "name": lab.name, "running": lab.running, "directory": directory }));
        } else {
            let state = if lab.running { "running" } else { "stopped" };
            println!("{:<16} {state:<8} {}", lab.name, directory.display());
        }
    }
    Ok(())
}
