//! `slipway inspect`: look into images and disks without root, mounts or loop devices.
//!
//! Only the verb's arguments and its choice between text and JSON: telling what a file is and
//! reading it is [`crate::inspect`]'s. It never writes to what it looks at, so a running
//! machine's disk may be inspected; what is being written at that moment may look torn.

use std::path::PathBuf;

use crate::cmd::Context;
use crate::inspect;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A slot image, an initramfs, a directory of artifacts, a machine's disk or config disk.
    path: PathBuf,
    /// List every file, also of large file systems.
    #[arg(long)]
    files: bool,
}

/// Runs the verb.
///
/// # Errors
/// It is nothing that we make, or it is not what it claims.
pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let report = inspect::look(&args.path)?;
    if context.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.text(args.files));
    }
    Ok(())
}
