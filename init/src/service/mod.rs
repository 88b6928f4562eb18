//! Supervised services: what state each is in, and what is to be done about it.
//!
//! `state` is one service, `set` all of them with their needs; both are pure: an event and a
//! moment in, actions out. `backoff` is the pause between starts, `notice` reads what services
//! tell, `report` puts events into the console's words. `runner` performs the actions with
//! processes and cgroups; the loop that brings both together is `supervisor`.

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

pub mod backoff;
pub mod core;
pub mod notice;
pub mod report;
pub mod runner;
pub mod set;
pub mod state;

#[cfg(test)]
mod promises;
