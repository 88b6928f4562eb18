//! Which card was last seen behind which port: the whole memory of a learning switch, without any I/O.
//!
//! Entries do not age: a port that loses its cable is forgotten at once, and a card that moves is learned anew by its
//! first frame.

use std::collections::HashMap;

use super::PortId;
use crate::Mac;

/// More cards than any lab has; a machine that makes up source addresses must not eat the host's memory.
const LIMIT: usize = 4096;

/// Where a frame goes.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Route {
    /// To this port and no other.
    Port(PortId),
    /// To every port but the one it came from.
    Flood,
    /// Nowhere: the destination is behind the port that the frame came from.
    Drop,
}

/// The learned addresses.
#[derive(Debug, Default)]
pub(super) struct Table {
    ports: HashMap<Mac, PortId>,
}

impl Table {
    /// Notes where a frame came from. A card that moved is followed at once: failover depends on it.
    pub(super) fn learn(&mut self, source: Mac, port: PortId) {
        if source.is_multicast() {
            return;
        }
        if self.ports.len() < LIMIT || self.ports.contains_key(&source) {
            self.ports.insert(source, port);
        }
    }

    /// Decides where a frame goes.
    pub(super) fn route(&self, destination: Mac, from: PortId) -> Route {
        match self.ports.get(&destination) {
            Some(port) if *port == from => Route::Drop,
            Some(port) => Route::Port(*port),
            None => Route::Flood,
        }
    }

    /// A port lost its cable: what was behind it may come back somewhere else.
    pub(super) fn forget(&mut self, port: PortId) {
        self.ports.retain(|_, behind| *behind != port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const B: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const P1: PortId = PortId(1);
    const P2: PortId = PortId(2);

    #[test]
    fn an_unknown_destination_is_flooded_and_a_learned_one_is_not() {
        let mut table = Table::default();
        assert_eq!(table.route(B, P1), Route::Flood);
        table.learn(B, P2);
        assert_eq!(table.route(B, P1), Route::Port(P2));
    }

    #[test]
    fn a_frame_never_goes_back_to_where_it_came_from() {
        let mut table = Table::default();
        table.learn(A, P1);
        assert_eq!(table.route(A, P1), Route::Drop);
    }

    #[test]
    fn broadcast_is_flooded_even_when_somebody_sent_from_it() {
        let mut table = Table::default();
        table.learn(Mac::BROADCAST, P2);
        assert_eq!(table.route(Mac::BROADCAST, P1), Route::Flood);
    }

    #[test]
    fn a_card_that_moves_is_followed_and_a_lost_cable_is_forgotten() {
        let mut table = Table::default();
        table.learn(A, P1);
        table.learn(A, P2);
        assert_eq!(table.route(A, P1), Route::Port(P2));
        table.forget(P2);
        assert_eq!(table.route(A, P1), Route::Flood);
    }

    #[test]
    fn made_up_addresses_do_not_grow_the_table_without_bound() {
        let mut table = Table::default();
        for number in 0..10_000u32 {
            let [a, b, c, d] = number.to_be_bytes();
            table.learn(Mac([2, 0, a, b, c, d]), P1);
        }
        assert_eq!(table.ports.len(), LIMIT);
    }
}
