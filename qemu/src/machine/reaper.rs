//! Collects the dead: machines, whose end somebody waits for, and the processes they leave behind, which nobody does.
//!
//! The supervisor adopts the helpers of a machine that was killed (it is their subreaper), so one loop has to wait for
//! all children and hand each status to whoever asked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};

use super::power::Exit;
use crate::error::{Doing, Result};

/// The one place that waits for processes.
#[derive(Debug)]
pub(crate) struct Reaper {
    expected: Rc<RefCell<HashMap<u32, oneshot::Sender<Exit>>>>,
    task: AbortHandle,
}

impl Reaper {
    /// Starts to collect. Must be called on a `LocalSet`, once per process.
    pub(crate) fn start() -> Result<Self> {
        let mut deaths = signal(SignalKind::child()).doing(|| "listening for SIGCHLD".to_owned())?;
        let expected: Rc<RefCell<HashMap<u32, oneshot::Sender<Exit>>>> = Rc::default();
        let shared = Rc::clone(&expected);
        let task = spawn_local(async move {
            while deaths.recv().await.is_some() {
                collect(&shared);
            }
        });
        Ok(Reaper { expected, task: task.abort_handle() })
    }

    /// The end of a process that was just started: before the next await, its status cannot have been collected.
    pub(crate) fn expect(&self, pid: u32) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        self.expected.borrow_mut().insert(pid, sender);
        receiver
    }

    /// Kills a process and its group, unless it was collected already: its number may be somebody else's by then.
    pub(crate) fn kill_group(&self, pid: u32) -> rustix::io::Result<()> {
        if !self.expected.borrow().contains_key(&pid) {
            return Ok(());
        }
        let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        kill_process_group(group, Signal::KILL)
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn collect(expected: &RefCell<HashMap<u32, oneshot::Sender<Exit>>>) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let Ok(pid) = u32::try_from(pid.as_raw_nonzero().get()) else { continue };
        let waiting = expected.borrow_mut().remove(&pid);
        if let (Some(waiting), Some(exit)) = (waiting, exit_of(status)) {
            // Nobody waits any more when the lab is going down.
            let _ = waiting.send(exit);
        }
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => Some(Exit::Clean),
        (Some(status), _) => Some(Exit::Status(status)),
        (None, Some(signal)) => Some(Exit::Signal(signal)),
        (None, None) => None,
    }
}
