//! The builder's only unsafe code: system calls that no crate of ours wraps safely.
//!
//! Everything else that talks to the kernel goes through nix or rustix. No policy here: thin
//! functions with their conditions, called by [`crate::sandbox`] and the command line.
#![allow(unsafe_code)]

use std::io;

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, raise, signal};

/// Marks every descriptor from 3 up close-on-exec, so that what the caller's shell left open does
/// not reach a build step.
///
/// # Errors
/// The kernel's refusal (older than 5.11).
pub fn close_inherited_on_exec() -> io::Result<()> {
    // SAFETY: close_range reads three integers and touches no memory; with CLOSE_RANGE_CLOEXEC it
    // closes nothing now, so no owner of a descriptor is surprised.
    let done = unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends this process, since it has printed to nobody (`slipway … | head`), in the way of other programs.
///
/// # Errors
/// The kernel's refusal. It comes back only with one.
pub(crate) fn end_of_broken_pipe() -> io::Result<()> {
    die_of_broken_pipe()?;
    Ok(raise(Signal::SIGPIPE)?)
}

/// Has a pipe that nobody reads end this process: for verbs that have no other pipe or connection than their output.
///
/// # Errors
/// The kernel's refusal.
pub fn die_of_broken_pipe() -> io::Result<()> {
    // SAFETY: the default action runs no code of ours, so nothing can be interrupted in it.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map(drop).map_err(io::Error::from)
}
