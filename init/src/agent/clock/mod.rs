//! The clock agent: no certificate is made or judged before the time is known.
//!
//! `discipline` decides what an offset calls for and when a machine without an answer may
//! go on all the same; `task` asks the servers and turns the clock.

mod discipline;
mod task;

pub use task::{ClockAgentError, run};
