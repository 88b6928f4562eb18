//! Supervised services: what each is to do next, and doing it.
//!
//! `core` decides and is pure, `runner` performs what it decides with processes and control
//! groups, `notice` reads what services tell. The loop that brings them together is
//! `supervisor`.

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

pub mod core;
pub mod notice;
pub mod runner;
