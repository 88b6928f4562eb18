//! The config agent: which machine this is, as said by somebody it trusts.
//!
//! `observe` collects candidates (the stored config, every disk labelled
//! `slipway-config`), `choice` decides which of them counts and why the others do not,
//! `task` stores the choice and tells PID 1. No later service starts without a config,
//! so whatever is wrong is said on the console, once per change.

mod choice;
mod observe;
mod task;

pub use task::{ConfigAgentError, run};
