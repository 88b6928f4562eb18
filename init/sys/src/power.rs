//! The machine's own end: reboot, power off, and who hears Ctrl-Alt-Del.
//!
//! None of these stops anything first; that is `init`'s shutdown.

use std::io;

use rustix::system::{RebootCommand, reboot};

/// Has Ctrl-Alt-Del send SIGINT to PID 1 instead of restarting the machine.
///
/// # Errors
/// The kernel's; `EPERM` outside of the first pid namespace.
pub fn ask_before_restart() -> io::Result<()> {
    Ok(reboot(RebootCommand::CadOff)?)
}

/// Restarts the machine now.
///
/// # Errors
/// The kernel's: on success there is nobody to return to.
pub fn restart() -> io::Result<()> {
    Ok(reboot(RebootCommand::Restart)?)
}

/// Switches the machine off now.
///
/// # Errors
/// The kernel's: on success there is nobody to return to.
pub fn power_off() -> io::Result<()> {
    Ok(reboot(RebootCommand::PowerOff)?)
}

/// Writes everything that is only in memory to the disks.
pub fn sync() {
    rustix::fs::sync();
}
