//! Running other programs from the root of the checkout.
//!
//! Every program is announced, so that what a task did can be typed by hand. No policy
//! lives here: a failed program is an error that names it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The checkout that this xtask was built from.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

/// A command in the root of the checkout.
pub fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// `cargo` with `args`.
pub fn cargo(args: &[&str]) -> Command {
    command(option_env!("CARGO").unwrap_or("cargo"), args)
}

/// Whether `slipway` was built in this run.
static BUILT: OnceLock<()> = OnceLock::new();

/// The real command line, built first if need be.
pub fn slipway(args: &[&str]) -> Result<Command> {
    if BUILT.get().is_none() {
        loud(&mut cargo(&["build", "--quiet", "--package", "slipway"]))?;
        BUILT.get_or_init(|| ());
    }
    Ok(command(&slipway_path().to_string_lossy(), args))
}

/// The command line as the unit tests built it: alone it would be compiled again, and a third of what
/// it depends on with it, since cargo decides on their features by what is built together.
pub fn slipway_of_tests() -> Result<()> {
    loud(&mut cargo(&["test", "--quiet", "--no-run"]))?;
    BUILT.get_or_init(|| ());
    Ok(())
}

/// The files of a component, built or fetched first if need be.
///
/// # Errors
/// It cannot be built.
pub fn component(name: &str) -> Result<PathBuf> {
    let output = slipway(&["--json", "build", "--component", name])?.output().context("starting slipway")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let built = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let directory = built.filter(|event| event["event"] == "built").find_map(|event| {
        event["directory"].as_str().map(|directory| PathBuf::from(directory).join("files"))
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    directory
        .with_context(|| format!("slipway build --component {name} ended with {}: {said}", output.status))
}

/// Where [`slipway`] lies once built.
pub fn slipway_path() -> PathBuf {
    target_dir().join("debug/slipway")
}

/// cargo's target directory for this checkout.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn announce(command: &Command) {
    let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    eprintln!(
        "xtask: {} {}",
        PathBuf::from(command.get_program()).file_name().unwrap_or_default().display(),
        args.join(" ")
    );
}

/// Runs `command` with its output on ours.
///
/// # Errors
/// When it can't be started or ends with anything but 0.
pub fn loud(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command.status().with_context(|| format!("starting {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(())
}

/// Runs `command`, shows its standard output and gives it back line by line, with whether it succeeded.
///
/// # Errors
/// When it can't be started or its output can't be read.
pub fn tee(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    announce(command);
    let name = command.get_program().display().to_string();
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {name}"))?;
    let stdout = child.stdout.take().with_context(|| format!("reading the output of {name}"))?;
    for text in BufReader::new(stdout).lines() {
        let text = text.with_context(|| format!("reading the output of {name}"))?;
        println!("{text}");
        line(&text);
    }
    Ok(child.wait().with_context(|| format!("waiting for {name}"))?.success())
}
