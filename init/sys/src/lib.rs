//! The kernel's verbs, one thin function each: the only unsafe code of a machine.
//!
//! Owned descriptors in and out, named flags, the errno kept in the `io::Error`; no policy, no
//! retry but for EINTR, no path of ours. What is done with them is decided in `init`. `unsafe`
//! is in [`dm`], [`block`], [`clock`], [`fence`], [`host`], `launch`, [`memory`], [`notify`], [`outgoing`], [`process`],
//! [`resume`] and [`watchdog`], which say so at their top; the rest wraps rustix and nix, which are safe.

pub mod adoption;
pub mod alarm;
pub mod block;
pub mod clock;
pub mod dm;
pub mod event;
pub mod fence;
pub mod host;
mod launch;
pub mod memory;
pub mod mount;
pub mod notify;
pub mod outgoing;
pub mod packet;
pub mod power;
pub mod process;
pub mod resume;
pub mod signal;
pub mod spawn;
pub mod uptime;
pub mod watchdog;
