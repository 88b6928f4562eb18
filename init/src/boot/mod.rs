//! From the kernel's hand-over to a machine that can run services.
//!
//! `plan` is what is mounted, linked and set, as data; `cpuinfo` mends one file of the kernel;
//! `apply` does it, `directories` are those of services, and `image` reads what the image wants supervised. What cannot be done is
//! told and passed over: a machine that lacks a sysctl is still worth having.

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

pub mod apply;
mod cpuinfo;
pub mod directories;
mod image;
mod plan;

pub use image::{label, load};
