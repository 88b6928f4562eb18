//! The way into PID 1 for our own processes: requests in, answers out.
//!
//! `message` is the vocabulary, `wire` its packets, `server` PID 1's end, `client` asks. Who may speak is decided by the socket's
//! group and mode, and what of it by the process that asks. Nothing from the network arrives here but
//! through apid's types.

pub mod client;
pub mod message;
pub mod server;
mod wire;

pub use wire::WireError;

/// Where PID 1 listens.
pub const CONTROL: &str = "/run/slipway/control";
