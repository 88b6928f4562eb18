//! `slipway lock` and `slipway fetch` against a mirror that misbehaves.
//!
//! The real binary, in a repository and with a store of its own, asks `mirror`, a small HTTP server
//! on loopback that breaks off, stalls, lies or is empty on demand. `fixture` makes the repository;
//! the promises are in `fetching` and `locking`.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod fetching;
mod fixture;
mod locking;
mod mirror;
