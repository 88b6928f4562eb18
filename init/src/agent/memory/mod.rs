//! Agent memory: one line on the console about what our own processes take, once the machine is up.
//!
//! `sum` decides which processes are ours and adds them up, `task` reads /proc. A process of
//! its own, started by PID 1 when the machine is up and gone afterwards: walking page tables
//! takes milliseconds for each process, and PID 1 has services to look after.

mod sum;
mod task;

pub use task::{MemoryAgentError, run};
