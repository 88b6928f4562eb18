//! What of a DHCP lease counts here, whatever else a server may have sent.
//!
//! The client (mozim) has read the packet; what it took from it is anything that a stranger on
//! the wire may write. Values are taken over, not believed: `plan` decides what is usable.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use mozim::{DhcpV4ClasslessRoute, DhcpV4Lease};

use super::plan::Route;

/// What every IPv4 host must take in one piece (RFC 791): below it nothing works.
const MTU_MIN: u16 = 576;

/// The parts of a DHCP lease that count here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address given.
    pub address: Ipv4Addr,
    /// Its network's mask; 0.0.0.0 if the server gave none.
    pub mask: Ipv4Addr,
    /// Default gateways, best first.
    pub gateways: Vec<Ipv4Addr>,
    /// Classless routes (option 121): where they are given, gateways do not count.
    pub routes: Option<Vec<Route>>,
    /// DNS servers.
    pub resolvers: Vec<Ipv4Addr>,
    /// NTP servers.
    pub time_servers: Vec<Ipv4Addr>,
    /// MTU of the link, if it is one that anything goes through.
    pub mtu: Option<u16>,
}

impl Lease {
    /// Of what the client got.
    #[must_use]
    pub fn of(lease: &DhcpV4Lease) -> Self {
        let route = |found: &DhcpV4ClasslessRoute| {
            let to = Ipv4Net::new(found.destination, found.prefix_length).ok()?;
            Some(Route { to, via: found.router })
        };
        Self {
            address: lease.yiaddr,
            mask: lease.subnet_mask,
            gateways: lease.gateways.clone().unwrap_or_default(),
            routes: lease.classless_routes.as_ref().map(|routes| routes.iter().filter_map(route).collect()),
            resolvers: lease.dns_srvs.clone().unwrap_or_default(),
            time_servers: lease.ntp_srvs.clone().unwrap_or_default(),
            mtu: lease.mtu.filter(|mtu| *mtu >= MTU_MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mtu_that_nothing_goes_through_is_not_taken_over() {
        let mtu = |mtu| {
            let mut lease = DhcpV4Lease::default();
            lease.mtu = Some(mtu);
            Lease::of(&lease).mtu
        };
        assert_eq!((mtu(0), mtu(575), mtu(576), mtu(9000)), (None, None, Some(576), Some(9000)));
    }
}
