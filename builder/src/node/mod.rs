//! A client of the machines' own API: whom to ask, as whom, and one connection to each.
//!
//! `target` finds the cluster's client files and its machines, `client` speaks HTTP/2 over TLS 1.3, `fan` asks many
//! machines at once. The verbs are in `cmd::node`; nothing here prints.

pub mod client;
pub mod fan;
pub mod target;

pub use client::{Connection, Lines};
pub use target::{Machine, Target};
