//! One start of a machine, as it is seen from outside: its console, and after that its end.
//!
//! Both reach the runner as events on one channel and in this order, since what a guest says last decides what its
//! end means.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::console::{self, ConsoleLog, Lines};
use super::power::{Event, Exit};

/// Something that happened to the process of one start. An event of an earlier start is stale.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) generation: u32,
    pub(super) event: Event,
}

/// What a start's console has to be told to.
pub(super) struct Start {
    pub(super) log: Rc<RefCell<ConsoleLog>>,
    pub(super) farewell: Option<Rc<str>>,
    pub(super) events: mpsc::UnboundedSender<Happened>,
    pub(super) generation: u32,
}

/// After a process is dead its last lines are in the pipe already; a helper that outlives it may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

impl Start {
    pub(super) async fn run(self, pipe: AsyncFd<OwnedFd>, exit: oneshot::Receiver<Exit>) {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 16 << 10];
        let mut exit = std::pin::pin!(exit);
        let ended = loop {
            tokio::select! {
                biased;
                read = console::read(&pipe, &mut buffer) => match read {
                    Ok(count) if count > 0 => self.take(buffer.get(..count).unwrap_or_default(), &mut lines),
                    _ => break None,
                },
                exit = &mut exit => break Some(exit),
            }
        };
        let ended = match ended {
            Some(exit) => {
                while let Ok(Ok(count)) =
                    tokio::time::timeout(LAST_WORDS, console::read(&pipe, &mut buffer)).await
                {
                    if count == 0 {
                        break;
                    }
                    self.take(buffer.get(..count).unwrap_or_default(), &mut lines);
                }
                exit
            }
            None => exit.await,
        };
        // An error means that the reaper is gone, and with it the lab.
        if let Ok(exit) = ended {
            self.tell(Event::Exited(exit));
        }
    }

    fn take(&self, bytes: &[u8], lines: &mut Lines) {
        self.log.borrow_mut().write(bytes);
        lines.push(bytes, |line| {
            if self.farewell.as_deref().is_some_and(|farewell| line.ends_with(farewell)) {
                self.tell(Event::Farewell);
            }
        });
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(Happened { generation: self.generation, event });
    }
}
