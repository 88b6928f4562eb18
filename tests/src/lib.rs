//! What tests on booted machines hold in their hands.
//!
//! `cli` runs the real `slipway`, `cluster` is a whole cluster in a lab, `machine` one
//! machine alone with whatever disks a test gives it, `node` asks machines through their own API,
//! `terminal` runs `slipway` before a screen and a keyboard, `wait` is patience with a deadline.
//! The promises themselves are in `promises/`, a module per topic.

pub mod cli;
pub mod cluster;
pub mod machine;
pub mod node;
pub mod terminal;
pub mod wait;
