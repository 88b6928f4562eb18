//! The drill agent: failures that the machine config asks for, to see that they are survived.
//!
//! `schedule` says which are still to come and `target` which process is meant; these are
//! pure. `task` waits and strikes. Each drill happens once in the life of a config, even
//! over reboots: a rehearsed reboot would else be one for ever.

mod schedule;
mod target;
mod task;

pub use task::{DrillAgentError, run};
