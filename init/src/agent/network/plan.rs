//! What the NIC should have, from the config and, with DHCP, the lease.
//!
//! The address must be the one that the config promises to the other machines: their
//! certificates and flags name it. A lease with another one is refused, not used.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use machine_config::machine::{Addressing, Network};

use super::lease::Lease;

/// What the NIC should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Address and prefix.
    pub address: Ipv4Net,
    /// Routes beyond the link.
    pub routes: Vec<Route>,
    /// MTU, where somebody says so.
    pub mtu: Option<u32>,
    /// DNS servers.
    pub resolvers: Vec<Ipv4Addr>,
    /// SNTP servers.
    pub time_servers: Vec<Ipv4Addr>,
}

/// A route over a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub to: Ipv4Net,
    /// Over whom.
    pub via: Ipv4Addr,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The lease's address is not the promised one.
    #[error("DHCP gives {given}, but the other machines know this one as {promised}: give it that address")]
    OtherAddress {
        /// By the server.
        given: Ipv4Addr,
        /// By the config.
        promised: Ipv4Addr,
    },
    /// The static address is not the promised one.
    #[error("the config's subnet {subnet} is not that of its address {promised}")]
    OtherSubnet {
        /// `addressing.subnet`.
        subnet: Ipv4Net,
        /// `address`.
        promised: Ipv4Addr,
    },
    /// A mask that is no prefix, or is missing.
    #[error("DHCP gives {0} with a subnet mask that is none")]
    Mask(Ipv4Addr),
}

/// The default route's destination.
pub const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// The plan of a static config; `None` when the address comes from DHCP.
#[must_use]
pub fn fixed(network: &Network) -> Option<Result<Plan, Unusable>> {
    let Addressing::Static { subnet, gateway } = network.addressing else { return None };
    if subnet.addr() != network.address {
        return Some(Err(Unusable::OtherSubnet { subnet, promised: network.address }));
    }
    Some(Ok(Plan {
        address: subnet,
        routes: gateway.map(|via| Route { to: EVERYWHERE, via }).into_iter().collect(),
        mtu: None,
        resolvers: network.resolvers.clone(),
        time_servers: network.time_servers.clone(),
    }))
}

/// The plan that a lease allows.
///
/// # Errors
/// [`Unusable`].
pub fn leased(network: &Network, lease: &Lease) -> Result<Plan, Unusable> {
    if lease.address != network.address {
        return Err(Unusable::OtherAddress { given: lease.address, promised: network.address });
    }
    // A mask with holes, or none at all: everybody would seem to be on the link.
    let address = Ipv4Net::with_netmask(lease.address, lease.mask)
        .ok()
        .filter(|address| address.prefix_len() > 0)
        .ok_or(Unusable::Mask(lease.address))?;
    let routes = match &lease.routes {
        Some(routes) => routes.clone(),
        None => lease.gateways.first().map(|via| Route { to: EVERYWHERE, via: *via }).into_iter().collect(),
    };
    let or_leased =
        |own: &[Ipv4Addr], leased: &[Ipv4Addr]| if own.is_empty() { leased } else { own }.to_vec();
    Ok(Plan {
        address,
        routes,
        mtu: lease.mtu.map(u32::from),
        resolvers: or_leased(&network.resolvers, &lease.resolvers),
        time_servers: or_leased(&network.time_servers, &lease.time_servers),
    })
}

#[cfg(test)]
mod tests {
    use machine_config::Role;

    use super::*;
    use crate::agent::fixture::config;

    fn lease() -> Lease {
        Lease {
            address: [10, 77, 0, 21].into(),
            mask: [255, 255, 255, 0].into(),
            gateways: vec![[10, 77, 0, 1].into(), [10, 77, 0, 2].into()],
            routes: None,
            resolvers: vec![[9, 9, 9, 9].into()],
            time_servers: vec![[10, 77, 0, 9].into()],
            mtu: Some(9000),
        }
    }

    fn dhcp() -> Network {
        Network {
            addressing: Addressing::Dhcp {},
            resolvers: vec![],
            time_servers: vec![],
            ..config(Role::Worker).network
        }
    }

    #[test]
    fn a_static_config_needs_nobody() {
        let plan = fixed(&config(Role::Worker).network).unwrap().unwrap();
        assert_eq!(plan.address.to_string(), "10.77.0.21/24");
        assert_eq!(plan.routes, [Route { to: EVERYWHERE, via: [10, 77, 0, 1].into() }]);
        assert!(fixed(&dhcp()).is_none());
    }

    #[test]
    fn a_subnet_of_another_address_is_refused() {
        let mut network = config(Role::Worker).network;
        network.address = [10, 77, 0, 22].into();
        assert!(matches!(fixed(&network), Some(Err(Unusable::OtherSubnet { .. }))));
    }

    #[test]
    fn a_lease_of_the_promised_address_is_used() {
        let plan = leased(&dhcp(), &lease()).unwrap();
        assert_eq!(plan.address.to_string(), "10.77.0.21/24");
        assert_eq!(plan.routes, [Route { to: EVERYWHERE, via: [10, 77, 0, 1].into() }]);
        assert_eq!(plan.resolvers, [Ipv4Addr::new(9, 9, 9, 9)]);
        assert_eq!(plan.mtu, Some(9000));
    }

    #[test]
    fn a_lease_of_another_address_is_refused_with_both() {
        let other = Lease { address: [10, 77, 0, 99].into(), ..lease() };
        let error = leased(&dhcp(), &other).unwrap_err();
        assert_eq!(
            error.to_string(),
            "DHCP gives 10.77.0.99, but the other machines know this one as 10.77.0.21: give it that address"
        );
    }

    #[test]
    fn a_lease_with_a_mask_that_is_no_prefix_or_missing_is_refused() {
        for mask in [[255, 0, 255, 0], [0, 0, 0, 0]] {
            let outcome = leased(&dhcp(), &Lease { mask: mask.into(), ..lease() });
            assert_eq!(outcome, Err(Unusable::Mask([10, 77, 0, 21].into())), "{mask:?}");
        }
    }

    #[test]
    fn the_configs_servers_come_before_the_leases() {
        let own = Network { resolvers: vec![[1, 1, 1, 1].into()], ..dhcp() };
        let plan = leased(&own, &lease()).unwrap();
        assert_eq!(plan.resolvers, [Ipv4Addr::new(1, 1, 1, 1)]);
        assert_eq!(plan.time_servers, [Ipv4Addr::new(10, 77, 0, 9)]);
    }

    #[test]
    fn classless_routes_replace_the_gateway() {
        let route = Route { to: "10.0.0.0/8".parse().unwrap(), via: [10, 77, 0, 3].into() };
        let plan = leased(&dhcp(), &Lease { routes: Some(vec![route]), ..lease() }).unwrap();
        assert_eq!(plan.routes, [route]);
    }
}
