//! The core against a world of processes with a will of their own.
//!
//! Random tables (all kinds of edges and units), random events (late and stale ones among
//! them), a shell that fails at random, a clock that only the test moves. What must hold is in
//! `invariants`, one function each, named by its number in reference/supervisors.md 5.9.

pub mod happening;
pub mod invariants;
mod runs;
pub mod tables;
pub mod world;
