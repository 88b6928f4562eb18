//! Machines: what they are made of, how each kind is started, and the task that keeps one of them in the state that
//! somebody wants.
//!
//! `power` decides and is pure; `uml` and `qemu` say what to start and how to press a button; `runner` does it.

mod console;
mod driver;
mod kvm;
mod place;
mod power;
mod qemu;
mod qmp;
mod reaper;
mod runner;
mod spec;
mod start;
mod uml;

pub use console::LAB_PREFIX;
pub(crate) use console::read as read_pipe;
pub(crate) use driver::Driver;
pub use kvm::kvm_works;
pub use place::{Place, memory_directory};
pub use power::{CRASH_LIMIT, CRASH_WINDOW, Off};
pub(crate) use qemu::Qemu;
pub use qemu::{Accelerator, QemuProgram};
pub(crate) use reaper::Reaper;
pub(crate) use runner::{Machine, Order};
pub use runner::{MachineStatus, POWER_ON, PowerState};
pub use spec::{Disk, MachineSpec};
pub(crate) use uml::{Uml, longest_socket};
