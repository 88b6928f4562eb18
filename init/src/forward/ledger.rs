//! Who has got what: the last line of each service that the server's machine has confirmed.
//!
//! Bytes are confirmed in the order in which they were sent, so a line is settled once all
//! bytes up to its end are. Pure; bytes and numbers are told.

use std::collections::{BTreeMap, VecDeque};

use crate::logd::KERNEL;

/// The ledger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Bytes sent on this connection.
    sent: u64,
    /// Lines on their way: where each ends, and which it is.
    open: VecDeque<(u64, String, u64)>,
    settled: BTreeMap<String, u64>,
    /// The latest line of each service that was sent, confirmed or not.
    latest: BTreeMap<String, u64>,
}

impl Ledger {
    /// A ledger that goes on from what was settled before.
    pub(super) fn from_text(text: &str) -> Self {
        let entry = |line: &str| {
            let (service, number) = line.split_once(' ')?;
            Some((service.to_owned(), number.parse().ok()?))
        };
        Self { settled: text.lines().filter_map(entry).collect(), ..Self::default() }
    }

    /// What [`Self::from_text`] reads.
    pub(super) fn to_text(&self) -> String {
        self.settled.iter().map(|(service, number)| format!("{service} {number}\n")).collect()
    }

    /// A new connection: what is not settled is sent again.
    pub(super) fn reconnected(&mut self) {
        self.sent = 0;
        self.open.clear();
        self.latest = self.settled.clone();
    }

    /// The last settled line of each service.
    pub(super) fn after(&self) -> Vec<(String, u64)> {
        self.settled.iter().map(|(service, number)| (service.clone(), *number)).collect()
    }

    /// How many lines before this one are gone for good. The kernel's numbers are its own.
    pub(super) fn gap(&self, service: &str, number: u64) -> u64 {
        let due = self.latest.get(service).map_or(0, |latest| latest + 1);
        if service == KERNEL { 0 } else { number.saturating_sub(due) }
    }

    /// A line was sent, `bytes` long with all that came before it.
    pub(super) fn sent(&mut self, service: &str, number: u64, bytes: usize) {
        self.sent += bytes as u64;
        self.latest.insert(service.to_owned(), number);
        self.open.push_back((self.sent, service.to_owned(), number));
    }

    /// All but the last `unconfirmed` bytes are confirmed; whether that settles anything.
    pub(super) fn settle(&mut self, unconfirmed: u64) -> bool {
        let confirmed = self.sent.saturating_sub(unconfirmed);
        let before = self.open.len();
        while let Some((end, ..)) = self.open.front()
            && *end <= confirmed
            && let Some((_, service, number)) = self.open.pop_front()
        {
            self.settled.insert(service, number);
        }
        self.open.len() < before
    }

    /// How many lines are on their way.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether everything that was sent is settled.
    pub(super) fn is_settled(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_confirmed_is_sent_again() {
        let mut ledger = Ledger::default();
        ledger.reconnected();
        ledger.sent("a", 0, 100);
        ledger.sent("b", 0, 100);
        ledger.sent("a", 1, 100);
        assert!(ledger.settle(150));
        assert_eq!(ledger.after(), [("a".to_owned(), 0)]);
        ledger.reconnected();
        assert!(ledger.is_settled());
        assert_eq!(ledger.gap("a", 1), 0);
        assert_eq!(ledger.gap("b", 0), 0);
        assert_eq!(Ledger::from_text(&ledger.to_text()).after(), ledger.after());
    }

    #[test]
    fn what_the_rings_have_let_go_is_counted_but_not_the_kernels() {
        let mut ledger = Ledger::from_text("a 4\nkernel 7\nnonsense\n");
        ledger.reconnected();
        assert_eq!(ledger.gap("a", 5), 0);
        assert_eq!(ledger.gap("a", 15), 10);
        assert_eq!(ledger.gap("new", 3), 3);
        assert_eq!(ledger.gap("kernel", 99), 0);
    }
}
