//! The login agent: tells the kubelet before the machine ends, and waits until its pods have ended.
//!
//! The kubelet knows one way to hear of that: systemd-logind over D-Bus. `bus` answers its four calls
//! on a socket of its own (no bus, no other client), `lock` is what it holds while it has something to
//! do, `task` stands between it and PID 1. What ends how, and when patience is over, is PID 1's.

mod bus;
mod lock;
mod task;

pub use task::{LoginError, run};
