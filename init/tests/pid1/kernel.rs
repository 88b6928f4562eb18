//! The machines' kernel: the one that labs boot, built by the real `slipway`.
//!
//! `SLIPWAY` names the command, as for the promises; nothing is built or fetched here, so that
//! a plain `cargo test` takes no quarter of an hour. Who names it wants machines: then a missing
//! kernel is an error, or a broken checkout would leave out every test and be green.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// Where it is, or why it is not there; nothing if nobody wants machines.
pub(crate) fn find() -> Option<Result<PathBuf, String>> {
    std::env::var_os("SLIPWAY").map(|slipway| ask(&slipway))
}

fn ask(slipway: &OsStr) -> Result<PathBuf, String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut command = Command::new(slipway);
    command.args(["--json", "build", "--offline", "--component", "kernel-um"]).current_dir(root);
    let told = command.output().map_err(|error| format!("starting {}: {error}", slipway.display()))?;
    let text = String::from_utf8_lossy(&told.stdout);
    let built = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let file = built
        .filter(|event| event["event"] == "built")
        .find_map(|event| event["files"].get(0)?.as_str().map(PathBuf::from));
    // Relative to where slipway ran.
    file.map(|file| PathBuf::from(root).join(file)).filter(|file| file.exists()).ok_or_else(|| {
        format!("no kernel-um: {}", String::from_utf8_lossy(&told.stderr).trim().replace('\n', "; "))
    })
}
