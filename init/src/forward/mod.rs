//! `init log-forward`: sends every line to a syslog server (RFC 5424 over TCP or TLS).
//!
//! A reader of logd like any other, in a process of its own: TLS and a server's moods are not logd's.
//! It has no queue; logd's rings are one already, bounded, and on disk. What the server's machine has not confirmed is
//! sent again on the next connection, also after a reboot, and what the rings had to let go meanwhile is counted and
//! said, there and here. `syslog` is the format, `ledger` who has got what, `link` the connection.

mod ledger;
mod link;
mod syslog;
mod task;

pub use task::{LEDGER, main};

/// How many lines of `service` were gone before the server had them, by what [`LEDGER`] says.
#[must_use]
pub fn lost(ledger: &str, service: &str) -> u64 {
    ledger::Ledger::from_text(ledger).lost(service)
}
