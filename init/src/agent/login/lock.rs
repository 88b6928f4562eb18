//! A lock on the machine's end: a descriptor that somebody holds as long as they have something to do.
//!
//! It is a pipe's writing end; nobody ever writes. When the last copy of it is closed, by wish or
//! because its holder is gone, the reading end ends, and the lock is released.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::watch;

/// How many locks are held.
#[derive(Debug, Clone, Default)]
pub(super) struct Locks(Arc<watch::Sender<usize>>);

impl Locks {
    /// A new one, for whoever asked.
    ///
    /// # Errors
    /// Those of pipe2(2).
    pub(super) fn give(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = node_sys::event::pipe()?;
        let ours = Receiver::from_owned_fd(ours)?;
        self.0.send_modify(|held| *held += 1);
        let locks = self.clone();
        tokio::spawn(async move {
            // Whatever comes of it: there is nothing more to wait for.
            let _ = ours.readable().await;
            locks.0.send_modify(|held| *held -= 1);
        });
        Ok(theirs)
    }

    /// Waits until nobody holds one any more.
    pub(super) async fn all_released(&self) {
        // The sender is ours, so waiting cannot break off.
        let _ = self.0.subscribe().wait_for(|held| *held == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_lock_is_held_until_its_last_copy_is_closed() {
        let locks = Locks::default();
        locks.all_released().await;
        let (one, two) = (locks.give().unwrap(), locks.give().unwrap());
        let copy = one.try_clone().unwrap();
        drop((one, two));
        let waiting = tokio::time::timeout(Duration::from_millis(50), locks.all_released()).await;
        assert!(waiting.is_err(), "a copy is still held");
        drop(copy);
        locks.all_released().await;
    }
}
