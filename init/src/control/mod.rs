//! The way into PID 1 for our own processes: requests in, answers out.
//!
//! `message` is the vocabulary, `wire` its packets. Who may speak is decided by the socket's
//! owner and mode, and by the sender's credentials. Nothing from the network arrives here but
//! through apid's types.

pub mod message;
mod wire;

pub use wire::WireError;

/// Where PID 1 listens.
pub const CONTROL: &str = "/run/slipway/control";
