//! slipway build: images of roles.

use crate::cmd::Context;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
///
/// # Errors
/// Always, until its part has landed.
pub fn run(_args: Args, _context: &Context) -> anyhow::Result<()> {
    anyhow::bail!("this verb has not landed yet")
}
