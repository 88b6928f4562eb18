//! The console: what a person who stands at the machine reads, and the lab parses.
//!
//! One event per line: `slipway[SECONDS.mmm] SUBJECT: TEXT`, where the subject is `stage1`,
//! `machine` or `service NAME`; a service's own lines are `NAME| TEXT`. [`Subject`] and
//! [`line`] are the grammar, `queue` writes without ever waiting for whoever reads.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod queue;

use std::fmt;

pub use queue::Console;

use crate::monotonic::Monotonic;

/// Whom a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The initramfs.
    Stage1,
    /// The machine as a whole.
    Machine,
    /// One service.
    Service(&'a str),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Stage1 => f.write_str("stage1"),
            Subject::Machine => f.write_str("machine"),
            Subject::Service(name) => write!(f, "service {name}"),
        }
    }
}

/// A line of the console, without its end.
#[must_use]
pub fn line(at: Monotonic, subject: Subject<'_>, text: &str) -> String {
    format!("slipway[{at}] {subject}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_who_and_what() {
        let text = line(Monotonic::from_millis(830), Subject::Service("etcd"), "ready after 0.83 s");
        assert_eq!(text, "slipway[0.830] service etcd: ready after 0.83 s");
        assert_eq!(line(Monotonic::from_millis(9800), Subject::Machine, "up"), "slipway[9.800] machine: up");
    }
}
