//! The way into PID 1 for our own processes: requests in, answers out.
//!
//! `message` is the vocabulary, `wire` its packets, `server` PID 1's end, `client` asks. Who may speak is decided by the socket's
//! owner and mode, and by the sender's credentials. Nothing from the network arrives here but
//! through apid's types.

pub mod client;
pub mod message;
pub mod server;
mod wire;

pub use wire::WireError;

/// Where PID 1 listens.
pub const CONTROL: &str = "/run/slipway/control";
/// The user that apid runs as: besides root, only it may connect.
pub const API_USER: u32 = 901;
