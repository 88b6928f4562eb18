//! `slipway lab qemu`: the QEMU that labs run machines with, given any arguments.
//!
//! For a machine that no lab describes: another board, another device, an image by itself. This process
//! becomes QEMU, so that signals, exit status and a terminal reach it as if it had been started by hand.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::driver;
use crate::cmd::Context;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The QEMU to use: a program, or a directory that Debian's packages were unpacked to
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
    /// What QEMU is given
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Becomes QEMU; returns only if that fails.
///
/// # Errors
/// There is no QEMU.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let program = driver::find(args.qemu.as_deref(), context)?;
    let error = program.command().args(&args.args).exec();
    Err(error).with_context(|| format!("starting {}", program.program.display()))
}
