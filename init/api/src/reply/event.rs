//! One thing that happened.
//!
//! Numbers have no gaps, so a client that comes back asks for what follows the last one it saw; a first number that
//! is higher than the one asked for says that older ones are no longer kept.

use super::service::State;
use crate::wire;

wire! {
    /// An event; a line of the stream.
    #[derive(Eq)]
    pub struct Event {
        /// From 1 at boot.
        pub number: u64,
        /// When, in milliseconds since boot.
        pub at_ms: u64,
        /// The same on the machine's clock (RFC 3339).
        pub time: String,
        /// To whom; the machine itself without it.
        pub service: Option<String>,
        /// The state before, where it changed.
        pub from: Option<State>,
        /// The state after.
        pub to: Option<State>,
        /// Why, in words.
        pub cause: String,
    }
}
