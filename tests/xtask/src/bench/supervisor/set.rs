//! What is supervised: the same services for everybody, in no supervisor's words.
//!
//! `rival` turns it into files. What a service does is tests/stamp's.

use std::time::Duration;

/// What a service does once it has stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It stays until it is killed.
    Stay,
    /// It says that it is ready, and stays.
    Ready,
    /// It ends at once.
    Exit,
    /// It leaves so many orphans per second behind.
    Orphans(u32),
}

/// Services that are started together, numbered from 0.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    /// How many.
    pub count: u32,
    /// What each does.
    pub part: Part,
    /// Whether each needs the one before it to be ready.
    pub chained: bool,
    /// Between a service's end and its next start, where that can be configured.
    pub delay: Duration,
}

impl Set {
    /// So many independent ones that stay.
    pub fn staying(count: u32) -> Self {
        Self { count, part: Part::Stay, chained: false, delay: Duration::ZERO }
    }

    /// Their numbers.
    pub fn numbers(&self) -> std::ops::Range<u32> {
        0..self.count
    }

    /// Whom a service needs.
    pub fn need(&self, number: u32) -> Option<u32> {
        number.checked_sub(1).filter(|_| self.chained)
    }

    /// The words of service `number`; `ready` are those by which it says that it is.
    pub fn words(&self, number: u32, ready: (&str, &str)) -> String {
        match self.part {
            Part::Stay => format!("stay {number}"),
            Part::Ready => format!("{} {number} {}", ready.0, ready.1).trim_end().to_owned(),
            Part::Exit => format!("exit {number}"),
            Part::Orphans(per_second) => format!("orphans {number} {per_second}"),
        }
    }
}

/// Readiness by a line on descriptor 3.
pub const BY_DESCRIPTOR: (&str, &str) = ("ready", "3");
/// Readiness by `READY=1` on `$NOTIFY_SOCKET`.
pub const BY_NOTIFY: (&str, &str) = ("notify", "");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_of_a_chain_needs_the_one_before_it() {
        let set = Set { count: 3, part: Part::Ready, chained: true, delay: Duration::ZERO };
        assert_eq!(set.numbers().map(|n| set.need(n)).collect::<Vec<_>>(), [None, Some(0), Some(1)]);
        assert_eq!(set.words(2, BY_NOTIFY), "notify 2");
        assert_eq!(set.words(2, BY_DESCRIPTOR), "ready 2 3");
        assert_eq!(Set::staying(2).need(1), None);
    }
}
