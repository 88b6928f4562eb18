//! The machines' kernels: those that labs boot, built by the real `slipway`.
//!
//! `SLIPWAY` names the command, as for the promises; nothing is fetched here, so that
//! a plain `cargo test` takes no quarter of an hour. Who names it wants machines: then a missing
//! kernel is an error, or a broken checkout would leave out every test and be green.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where the kernel of this component is, or why it is not there.
pub(crate) fn find(slipway: &Path, component: &str) -> Result<PathBuf, String> {
    let mut command = Command::new(slipway);
    command.args(["--json", "build", "--offline", "--component", component]).current_dir(ROOT);
    let told = command.output().map_err(|error| format!("starting {}: {error}", slipway.display()))?;
    let text = String::from_utf8_lossy(&told.stdout);
    let built = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let file = built
        .filter(|event| event["event"] == "built")
        .find_map(|event| event["files"].get(0)?.as_str().map(PathBuf::from));
    // Relative to where slipway ran.
    file.map(|file| Path::new(ROOT).join(file)).filter(|file| file.exists()).ok_or_else(|| {
        format!("no {component}: {}", String::from_utf8_lossy(&told.stderr).trim().replace('\n', "; "))
    })
}
