//! `slipway lock` and `slipway fetch` against a mirror that misbehaves.
//!
//! The real binary, in a repository and with a store of its own, asks `mirror`, a small HTTP server
//! on loopback that breaks off, stalls, lies or is empty on demand. `fixture` makes the repository;
//! the promises are in `fetching` and `locking`.

mod fetching;
mod fixture;
mod locking;
mod mirror;
