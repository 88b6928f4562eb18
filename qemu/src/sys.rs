//! The only unsafe code of the lab: two calls whose contracts the compiler cannot check.
//!
//! Registering a descriptor with the runtime, and what a child does between fork and exec. No policy: callers say
//! which program and which CPU.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, set_parent_process_death_signal, setrlimit, setsid,
};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime. Must be called inside one.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, always yields the same descriptor, and the `AsyncFd` owns it until it is dropped.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

/// Starts a program as leader of its own session, on one CPU if told so, that is killed when the calling thread ends.
///
/// The kernel ties the child's life to the thread that forked it, so this must be called on a thread that lives
/// as long as the program should: the supervisor's only one.
pub(crate) fn spawn_bound_to_us(command: &mut Command, cpu: Option<usize>) -> io::Result<Child> {
    let parent = getpid();
    let affinity = cpu.map(|cpu| {
        let mut set = CpuSet::new();
        set.set(cpu);
        set
    });
    // SAFETY: between fork and exec the closure makes plain system calls on values it owns; it takes no lock and
    // allocates nothing.
    unsafe {
        command.pre_exec(move || enter_own_session(parent, affinity.as_ref()));
    }
    command.spawn()
}

fn enter_own_session(parent: Pid, affinity: Option<&CpuSet>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above took effect.
    if getppid() != Some(parent) {
        return Err(Errno::SRCH.into());
    }
    setsid()?;
    // The panic of a User-mode Linux guest is an abort of its process; nobody wants its memory as a file.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if let Some(set) = affinity {
        sched_setaffinity(None, set)?;
    }
    Ok(())
}
