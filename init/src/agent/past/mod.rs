//! The past agent: what earlier boots left for this one.
//!
//! How often PID 1 has rebooted the machine lately is kept in STATE (`reboots`) and told to PID 1, which
//! does so twice a day at most. The last words of a kernel or a PID 1 that broke are in pstore (`words`):
//! they go into the log, which survives, and out of pstore, which is small. `task` does it, once per boot.

mod reboots;
mod task;
mod words;

pub use task::{PastError, count_reboot, run};
