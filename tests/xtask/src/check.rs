//! What must hold before every commit: format, tidy, the table of scenarios, lints, unit and format tests.
//!
//! CI runs exactly this before it boots anything. The order is from cheap to dear, so
//! that a slip shows in seconds.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::run::{cargo, loud, root, tee};
use crate::tally::{Reader, Tally};
use crate::{scenarios, tidy};

/// Runs the checks and counts the tests among them; `promtool` is asked for just before they run.
///
/// # Errors
/// The first check that does not hold.
pub fn run(promtool: impl FnOnce() -> Result<Option<PathBuf>>) -> Result<Tally> {
    loud(&mut cargo(&["fmt", "--all", "--check"]))?;
    tidy::run(&root())?;
    scenarios::run(&root())?;
    loud(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    let mut tests = cargo(&["test", "--quiet", "--no-fail-fast"]);
    if let Some(promtool) = promtool()? {
        tests.env("PROMTOOL_ROOT", promtool);
    }
    let mut reader = Reader::default();
    let ok = tee(&mut tests, |line| reader.line(line))?;
    let tally = reader.tally;
    if !ok {
        bail!("unit tests: {tally}");
    }
    if tally.passed == 0 {
        bail!("unit tests: none was run");
    }
    Ok(tally)
}
