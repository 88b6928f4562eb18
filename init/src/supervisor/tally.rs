//! A reboot that PID 1 itself decided on, written down before the machine ends: so many a day are allowed.
//!
//! PID 1 waits for no disk, so a process of its own writes (`agent::past`); the end goes on once that has ended, or
//! when the end's first phase is over. One that cannot be started is tried again until then.

use std::io;

use node_sys::process::Child;

/// How far that is.
#[derive(Debug)]
pub(super) enum Tally {
    /// Nothing is to be written, or it was.
    Settled,
    /// It is to be written; why that could not be begun, if it was tried.
    Wanted(Option<io::Error>),
    /// This process writes it.
    Writing(Child),
}

impl Tally {
    /// Goes on with it, by `start` if nobody writes yet; whether it is settled.
    pub(super) fn settle(&mut self, start: impl FnOnce() -> io::Result<Child>) -> bool {
        match self {
            Self::Settled => {}
            Self::Wanted(_) => *self = start().map_or_else(|why| Self::Wanted(Some(why)), Self::Writing),
            // Its own words say what went wrong, if anything did.
            Self::Writing(child) if !child.is_there() => *self = Self::Settled,
            Self::Writing(_) => {}
        }
        matches!(self, Self::Settled)
    }

    /// The end does not wait any longer; what is to be told of that.
    pub(super) fn give_up(&mut self) -> Option<String> {
        match std::mem::replace(self, Self::Settled) {
            Self::Settled => None,
            Self::Wanted(Some(why)) => Some(format!("this reboot does not count: {why}")),
            Self::Wanted(None) | Self::Writing(_) => {
                Some("this reboot may not count: writing takes too long".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn refuse() -> io::Result<Child> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[test]
    fn a_reboot_is_settled_once_whoever_writes_it_down_has_ended() {
        let mut process = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut tally = Tally::Wanted(None);
        let pid = i32::try_from(process.id()).unwrap();
        assert!(!tally.settle(|| Child::found(pid)));
        assert!(!tally.settle(|| panic!("somebody writes")), "it is not done");
        drop(process.stdin.take());
        process.wait().unwrap();
        assert!(tally.settle(|| panic!("it is written")));
        assert_eq!(tally.give_up(), None);
    }

    #[test]
    fn whoever_cannot_be_started_is_tried_again_and_given_up_with_the_reason() {
        let mut tally = Tally::Wanted(None);
        assert!(!tally.settle(refuse));
        assert!(!tally.settle(|| Child::found(i32::try_from(std::process::id()).unwrap())), "now it writes");
        let mut tally = Tally::Wanted(None);
        assert!(!tally.settle(refuse));
        let told = tally.give_up().unwrap();
        assert!(told.starts_with("this reboot does not count: "), "{told}");
        assert!(tally.settle(|| panic!("the end does not wait for it")));
    }

    #[test]
    fn a_machine_that_others_end_has_nothing_to_write() {
        assert!(Tally::Settled.settle(|| panic!("nothing is to be written")));
    }
}
