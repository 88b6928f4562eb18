//! `slipway lab down`: takes a lab down and removes it, but for the logs of a run that failed.
//!
//! Machines are killed, not shut down: their disks go with them. Who wants an orderly end of one machine asks for it
//! with `slipway lab machine stop`.

use anyhow::{Context as _, Result};

use super::note::{Note, failed_runs};
use super::{Which, labs, state_directory};
use crate::cmd::Context;

/// Runs the verb.
///
/// # Errors
/// There is no such lab, or it does not end.
pub fn run(which: &Which, context: &Context) -> Result<()> {
    let labs = labs()?;
    let name = which.choose(&labs)?;
    labs.down(&name).with_context(|| format!("taking lab {name} down"))?;
    discard(&labs, &name, context)
}

/// Removes a lab that does not run.
pub fn discard(labs: &lab::Labs, name: &str, context: &Context) -> Result<()> {
    // A lab without a note was never started by this command line: nothing is known to have failed.
    let failure = Note::read(&labs.dir(name)).ok().and_then(|note| note.failure);
    if failure.is_some() {
        let kept = failed_runs(&state_directory()?).join(name);
        labs.keep_logs(name, &kept).with_context(|| format!("keeping the logs of lab {name}"))?;
        context.progress.note(&format!("the failed run's consoles and logs are kept in {}", kept.display()));
    }
    labs.remove(name).with_context(|| format!("removing lab {name}"))
}
