//! The cord between a lab and the command that started it: the supervisor's standard input.
//!
//! The kernel closes the other end however that command dies, which no signal handler and no parent check would
//! match. A byte through it cuts the cord: from then on the lab lives by itself.

use std::os::fd::AsFd;
use std::rc::Rc;

use tokio::io::unix::AsyncFd;

use super::Lab;
use crate::machine::read_pipe;
use crate::protocol::DETACH;
use crate::sys;

/// Ends the lab when the other end is closed without a word.
pub(super) async fn watch(lab: Rc<Lab>) {
    let Ok(pipe) = open() else {
        // Not a pipe: nobody holds the other end.
        lab.attached.set(false);
        return;
    };
    let mut byte = [0];
    loop {
        match read_pipe(&pipe, &mut byte).await {
            Ok(1) if byte == [DETACH] => {
                lab.attached.set(false);
                return;
            }
            Ok(1) => {}
            _ => break,
        }
    }
    tracing::info!(lab = lab.spec.name, "whoever started this lab is gone");
    lab.end.notify_one();
}

fn open() -> std::io::Result<AsyncFd<std::os::fd::OwnedFd>> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    rustix::io::ioctl_fionbio(&stdin, true)?;
    sys::watch(stdin)
}
