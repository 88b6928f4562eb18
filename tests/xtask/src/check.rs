//! What must hold before every commit: format, tidy, the table of scenarios, lints, unit and format tests.
//!
//! CI runs exactly this before it boots anything. The order is from cheap to dear, so
//! that a slip shows in seconds.

use anyhow::{Result, bail};

use crate::run::{cargo, loud, root, tee};
use crate::tally::{Reader, Tally};
use crate::{scenarios, tidy};

/// Runs the checks and counts the tests among them.
///
/// # Errors
/// The first check that does not hold.
pub fn run() -> Result<Tally> {
    loud(&mut cargo(&["fmt", "--all", "--check"]))?;
    tidy::run(&root())?;
    scenarios::run(&root())?;
    loud(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    let mut reader = Reader::default();
    let ok = tee(&mut cargo(&["test", "--quiet", "--no-fail-fast"]), |line| reader.line(line))?;
    let tally = reader.tally;
    if !ok {
        bail!("unit tests: {tally}");
    }
    if tally.passed == 0 {
        bail!("unit tests: none was run");
    }
    Ok(tally)
}
