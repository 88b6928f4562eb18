//! Who has got what: the last line of each service that the server's machine has confirmed, and in which boot.
//!
//! Bytes are confirmed in the order in which they were sent, so a line is settled once all bytes up to its end are; and
//! lines are sent boot by boot, so with the first line of a boot all that there was of those before it is settled. What
//! was gone is known by the numbers. Of a boot whose last lines of a service are gone nobody knows how many they were.
//! Pure; bytes and numbers are told.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use crate::logd::record::BootId;

/// The ledger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Bytes sent on this connection.
    sent: u64,
    /// Lines on their way.
    open: VecDeque<Open>,
    settled: Lines,
    /// The latest lines that were sent, confirmed or not.
    latest: Lines,
    /// Lines that were gone before the server had them, by service, from the first boot on.
    lost: BTreeMap<String, u64>,
    /// Those of them that nobody has been told of here.
    untold: BTreeMap<String, u64>,
}

/// The latest line of each service in the latest boot that there are lines of.
#[derive(Debug, Default, Clone)]
struct Lines {
    boot: Option<BootId>,
    numbers: BTreeMap<String, u64>,
}

/// A line on its way.
#[derive(Debug)]
struct Open {
    /// Where it ends.
    end: u64,
    boot: BootId,
    service: String,
    number: u64,
    /// Lines before it that are gone.
    gap: u64,
}

impl Lines {
    fn note(&mut self, boot: BootId, service: &str, number: u64) {
        if self.boot != Some(boot) {
            *self = Self { boot: Some(boot), numbers: BTreeMap::new() };
        }
        self.numbers.insert(service.to_owned(), number);
    }
}

impl Ledger {
    /// A ledger that goes on from what was settled before.
    pub(super) fn from_text(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["boot", id] => ledger.settled.boot = BootId::parse(id),
                [service, number, lost] => {
                    let number = number.parse::<u64>().ok().map(|number| (service.to_owned(), number));
                    ledger.settled.numbers.extend(number);
                    let lost = lost.parse::<u64>().ok().filter(|lost| *lost > 0);
                    ledger.lost.extend(lost.map(|lost| (service.to_owned(), lost)));
                }
                _ => {}
            }
        }
        ledger
    }

    /// What [`Self::from_text`] reads: `boot ID`, then a line per service, `SERVICE NUMBER LOST`, without a number (`-`)
    /// for one that has said nothing in that boot.
    pub(super) fn to_text(&self) -> String {
        let mut text = self.settled.boot.map_or_else(String::new, |boot| format!("boot {boot}\n"));
        let numbers = &self.settled.numbers;
        let names = numbers.keys().chain(self.lost.keys().filter(|name| !numbers.contains_key(*name)));
        for name in names {
            let number = numbers.get(name).map_or_else(|| "-".to_owned(), u64::to_string);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} {number} {}", self.lost(name));
        }
        text
    }

    /// A new connection: what is not settled is sent again.
    pub(super) fn reconnected(&mut self) {
        self.sent = 0;
        self.open.clear();
        self.latest = self.settled.clone();
    }

    /// The boot from which on there are lines to send; nothing if none was ever settled.
    pub(super) fn boot(&self) -> Option<BootId> {
        self.settled.boot
    }

    /// The last settled line of each service in that boot.
    pub(super) fn after(&self) -> Vec<(String, u64)> {
        self.settled.numbers.iter().map(|(service, number)| (service.clone(), *number)).collect()
    }

    /// How many lines before this one are gone for good.
    pub(super) fn gap(&self, boot: BootId, service: &str, number: u64) -> u64 {
        let latest = self.latest.numbers.get(service).filter(|_| self.latest.boot == Some(boot));
        number.saturating_sub(latest.map_or(0, |latest| latest + 1))
    }

    /// A line was sent, `bytes` long with all that came before it.
    pub(super) fn sent(&mut self, boot: BootId, service: &str, number: u64, bytes: usize) {
        let gap = self.gap(boot, service, number);
        self.sent += bytes as u64;
        self.latest.note(boot, service, number);
        self.open.push_back(Open { end: self.sent, boot, service: service.to_owned(), number, gap });
    }

    /// All but the last `unconfirmed` bytes are confirmed; whether that settles anything.
    pub(super) fn settle(&mut self, unconfirmed: u64) -> bool {
        let confirmed = self.sent.saturating_sub(unconfirmed);
        let before = self.open.len();
        while self.open.front().is_some_and(|open| open.end <= confirmed)
            && let Some(Open { boot, service, number, gap, .. }) = self.open.pop_front()
        {
            self.settled.note(boot, &service, number);
            if gap > 0 {
                *self.lost.entry(service.clone()).or_default() += gap;
                *self.untold.entry(service).or_default() += gap;
            }
        }
        self.open.len() < before
    }

    /// How many lines of `service` were gone before the server had them.
    pub(super) fn lost(&self, service: &str) -> u64 {
        self.lost.get(service).copied().unwrap_or_default()
    }

    /// Lines that are gone since the last time this was asked, by service.
    pub(super) fn take_untold(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.untold)
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

    const OLD: BootId = BootId([1; 16]);
    const NEW: BootId = BootId([2; 16]);

    #[test]
    fn what_was_not_confirmed_is_sent_again() {
        let mut ledger = Ledger::default();
        ledger.reconnected();
        ledger.sent(NEW, "a", 0, 100);
        ledger.sent(NEW, "b", 0, 100);
        ledger.sent(NEW, "a", 1, 100);
        assert!(ledger.settle(150));
        assert_eq!(ledger.after(), [("a".to_owned(), 0)]);
        ledger.reconnected();
        assert!(ledger.is_settled());
        assert_eq!(ledger.gap(NEW, "a", 1), 0);
        assert_eq!(ledger.gap(NEW, "b", 0), 0);
        let again = Ledger::from_text(&ledger.to_text());
        assert_eq!((again.boot(), again.after()), (Some(NEW), ledger.after()));
    }

    #[test]
    fn what_the_rings_have_let_go_is_counted_of_the_kernel_too() {
        let mut ledger = Ledger::from_text(&format!("boot {NEW}\na 4 0\nkernel 7 2\nnonsense\n"));
        ledger.reconnected();
        assert_eq!(ledger.gap(NEW, "a", 5), 0);
        assert_eq!(ledger.gap(NEW, "a", 15), 10);
        assert_eq!(ledger.gap(NEW, "new", 3), 3);
        assert_eq!(ledger.gap(NEW, "kernel", 99), 91);
        // Only what the server has been told of counts, and once.
        for _ in 0..2 {
            ledger.reconnected();
            ledger.sent(NEW, "kernel", 99, 10);
            assert_eq!(ledger.lost("kernel"), 2);
        }
        ledger.settle(0);
        assert_eq!((ledger.lost("kernel"), ledger.lost("a")), (93, 0));
        assert_eq!(ledger.take_untold(), BTreeMap::from([("kernel".to_owned(), 91)]));
        assert!(ledger.take_untold().is_empty());
    }

    #[test]
    fn a_line_of_the_next_boot_settles_the_one_before_and_numbers_begin_anew() {
        let mut ledger = Ledger::from_text(&format!("boot {OLD}\na 40 0\nb 7 3\n"));
        ledger.reconnected();
        assert_eq!((ledger.boot(), ledger.gap(OLD, "a", 41), ledger.gap(NEW, "a", 0)), (Some(OLD), 0, 0));
        assert_eq!(ledger.gap(NEW, "a", 2), 2, "the first lines of a boot can be gone, too");
        ledger.sent(OLD, "a", 41, 10);
        ledger.sent(NEW, "a", 0, 10);
        ledger.settle(0);
        assert_eq!(ledger.to_text(), format!("boot {NEW}\na 0 0\nb - 3\n"));
        assert_eq!(Ledger::from_text(&ledger.to_text()).to_text(), ledger.to_text());
    }
}
