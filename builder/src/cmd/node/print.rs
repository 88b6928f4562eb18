//! Lines for whoever reads our standard output, who may stop reading at any time (`slipway logs … | head`).
//!
//! Then we end as other programs do. SIGPIPE cannot be left to do that: a machine that hangs up while we still write to
//! it would end us in the same way, without a word.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints a line.
///
/// # Errors
/// It cannot be written.
pub(super) fn line(text: impl Display) -> Result<()> {
    all(&format!("{text}\n"))
}

/// Prints text that has its own line ends.
///
/// # Errors
/// It cannot be written.
pub(super) fn all(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            crate::sys::end_of_broken_pipe().and(Err(error)).context("printing")
        }
        done => done.context("printing"),
    }
}
