//! The real `slipway`, run as a person would run it.
//!
//! Where it lies comes from `SLIPWAY`, set by `cargo xtask test`; so does the driver.
//! Every command has a deadline of its own inside `slipway`, so none is set here.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// The `slipway` under test.
///
/// # Errors
/// `SLIPWAY` is not set.
pub fn path() -> Result<PathBuf> {
    std::env::var_os("SLIPWAY")
        .map(PathBuf::from)
        .context("SLIPWAY is not set: run this through cargo xtask test")
}

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// The driver that boots machines: `uml` or `qemu`.
#[must_use]
pub fn driver() -> String {
    std::env::var("SLIPWAY_DRIVER").unwrap_or_else(|_| "uml".to_owned())
}

/// `slipway` with `args`, in the root of the checkout.
///
/// # Errors
/// `SLIPWAY` is not set.
pub fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Command> {
    let mut command = Command::new(path()?);
    command.args(args).current_dir(root());
    Ok(command)
}

/// Runs `slipway` and gives back whatever came of it.
///
/// # Errors
/// It can't be started.
pub fn attempt<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Output> {
    command(args)?.output().context("starting slipway")
}

/// Runs `slipway` and gives back its standard output.
///
/// # Errors
/// It ends with anything but 0; both outputs are in the error.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<String> {
    let output = attempt(args)?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("slipway ended with {}: {}{stdout}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}
