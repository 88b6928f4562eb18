//! How many connections there are, whose, and who has to go.
//!
//! Strangers have not shown a certificate yet; clients have. The two never compete: whoever has no certificate cannot
//! take a client's place. Among strangers the oldest goes when there are too many, of the same address first: an
//! honest handshake takes milliseconds, one that is held open on purpose seconds. Pure; `server` cuts and counts.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use node_api::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, STRANGERS_MAX, STRANGERS_PER_ADDRESS_MAX,
};

/// A connection's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(u64);

/// Everybody that is connected; `H` is how a stranger is cut.
#[derive(Debug)]
pub struct Census<H> {
    next: u64,
    strangers: VecDeque<(Id, IpAddr, H)>,
    clients: HashMap<Id, IpAddr>,
}

impl<H> Default for Census<H> {
    fn default() -> Self {
        Self { next: 0, strangers: VecDeque::new(), clients: HashMap::new() }
    }
}

impl<H> Census<H> {
    /// Somebody connects: gives the number, and whoever has to go for it.
    pub fn arrive(&mut self, address: IpAddr, handle: H) -> (Id, Option<H>) {
        let id = Id(self.next);
        self.next = self.next.wrapping_add(1);
        let same = self.strangers.iter().filter(|(_, other, _)| *other == address).count();
        let victim = if same >= STRANGERS_PER_ADDRESS_MAX {
            self.strangers.iter().position(|(_, other, _)| *other == address)
        } else if self.strangers.len() >= STRANGERS_MAX {
            Some(0)
        } else {
            None
        };
        let evicted = victim.and_then(|index| self.strangers.remove(index)).map(|(_, _, handle)| handle);
        self.strangers.push_back((id, address, handle));
        (id, evicted)
    }

    /// A stranger has shown a certificate; whether there is room for another client.
    pub fn known(&mut self, id: Id) -> bool {
        let Some(index) = self.strangers.iter().position(|(other, _, _)| *other == id) else { return false };
        let Some((_, address, _)) = self.strangers.remove(index) else { return false };
        let same = self.clients.values().filter(|other| **other == address).count();
        if self.clients.len() >= CONNECTIONS_MAX || same >= CONNECTIONS_PER_ADDRESS_MAX {
            return false;
        }
        self.clients.insert(id, address);
        true
    }

    /// A connection is gone, however.
    pub fn leave(&mut self, id: Id) {
        self.clients.remove(&id);
        self.strangers.retain(|(other, _, _)| *other != id);
    }

    /// Strangers and clients.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.strangers.len(), self.clients.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn strangers_of_one_address_drive_out_each_other_and_nobody_else() {
        let mut census = Census::default();
        let (first, evicted) = census.arrive(address(1), 1);
        assert!(evicted.is_none());
        let evicted: Vec<i32> = (0..1000).filter_map(|n| census.arrive(address(2), 1000 + n).1).collect();
        assert!(evicted.iter().all(|handle| *handle >= 1000));
        assert_eq!(census.count(), (STRANGERS_PER_ADDRESS_MAX + 1, 0));
        assert!(census.known(first));
    }

    #[test]
    fn of_strangers_from_everywhere_the_oldest_goes() {
        let mut census = Census::default();
        let all: Vec<Option<u32>> =
            (0..200u32).map(|n| census.arrive(IpAddr::from(n.to_be_bytes()), n).1).collect();
        assert!(all[..STRANGERS_MAX].iter().all(Option::is_none));
        assert_eq!(all[STRANGERS_MAX], Some(0));
        assert_eq!(census.count().0, STRANGERS_MAX);
    }

    #[test]
    fn clients_are_limited_by_address_and_in_all_and_strangers_do_not_count() {
        let mut census = Census::default();
        let mut welcome = 0;
        for n in 0..255 {
            for _ in 0..40 {
                let (id, _) = census.arrive(address(n), ());
                if census.known(id) {
                    welcome += 1;
                } else {
                    census.leave(id);
                }
            }
            assert!(welcome <= CONNECTIONS_PER_ADDRESS_MAX * (usize::from(n) + 1));
        }
        assert_eq!(welcome, CONNECTIONS_MAX);
        assert_eq!(census.count(), (0, CONNECTIONS_MAX));
    }

    #[test]
    fn whoever_was_cut_or_has_left_is_not_known() {
        let mut census = Census::default();
        let (id, _) = census.arrive(address(1), ());
        census.leave(id);
        assert!(!census.known(id));
        let (first, _) = census.arrive(address(1), ());
        for _ in 0..STRANGERS_PER_ADDRESS_MAX {
            census.arrive(address(1), ());
        }
        assert!(!census.known(first));
    }
}
