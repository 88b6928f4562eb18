//! The lab's network as data: the subnet, the gateway that the switch plays, and who has which address and name.
//!
//! DHCP, DNS and the gateway's TCP/IP port all read this; none of them keeps a list of its own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::Mac;

/// A card that is known before it is switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Host {
    /// What DNS answers to and DHCP hands out as host name.
    pub name: String,
    /// Its card.
    pub mac: Mac,
    /// The address that is reserved for it.
    pub address: Ipv4Addr,
}

/// One flat network behind one switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// The address of the switch's own port: router, DNS, SNTP and DHCP server of the lab.
    pub gateway: Ipv4Addr,
    /// Length of the network prefix.
    pub prefix: u8,
    /// Reserved addresses.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// Further names that DNS answers, such as the cluster's endpoint.
    #[serde(default)]
    pub names: BTreeMap<String, Ipv4Addr>,
}

impl Network {
    /// The gateway's own card. Locally administered, and outside the range that machines get.
    pub const GATEWAY_MAC: Mac = Mac([0x52, 0x54, 0x00, 0x4d, 0xff, 0x01]);

    /// The mask that belongs to the prefix.
    pub fn netmask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0))
    }

    /// The address that all hosts of the network listen on.
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.gateway.to_bits() | !self.netmask().to_bits())
    }

    /// The reservation for a card.
    pub fn host(&self, mac: Mac) -> Option<&Host> {
        self.hosts.iter().find(|host| host.mac == mac)
    }

    /// What DNS knows about a name (without its final dot, in any case).
    pub fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        let host = self.hosts.iter().find(|host| host.name.eq_ignore_ascii_case(name));
        let listed = || self.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        host.map(|host| host.address).or_else(|| listed().map(|(_, address)| *address))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Network {
        let host = |name: &str, number: u8, address: u8| Host {
            name: name.to_owned(),
            mac: Mac([0x52, 0x54, 0, 0x4d, 0, number]),
            address: Ipv4Addr::new(10, 77, 0, address),
        };
        Network {
            gateway: Ipv4Addr::new(10, 77, 0, 1),
            prefix: 24,
            hosts: vec![host("lb1", 1, 10), host("w1", 2, 21)],
            names: BTreeMap::from([("api.demo.internal".to_owned(), Ipv4Addr::new(10, 77, 0, 10))]),
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_nothing_else_is() {
        let network = example();
        assert_eq!(network.resolve("W1"), Some(Ipv4Addr::new(10, 77, 0, 21)));
        assert_eq!(network.resolve("API.demo.internal"), Some(Ipv4Addr::new(10, 77, 0, 10)));
        assert_eq!(network.resolve("w2"), None);
    }

    #[test]
    fn mask_and_broadcast_follow_the_prefix() {
        let network = example();
        assert_eq!(network.netmask(), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(network.broadcast(), Ipv4Addr::new(10, 77, 0, 255));
        assert_eq!(Network { prefix: 0, ..example() }.netmask(), Ipv4Addr::UNSPECIFIED);
    }
}
