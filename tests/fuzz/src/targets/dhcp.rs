//! DHCP replies: a frame or a datagram from anybody on the wire, to what the NIC is given.
//!
//! mozim reads it, the network agent plans by it. A plan never has another address than the promised one,
//! its prefix is the mask's, and an MTU that nothing goes through is not taken over.

use std::net::Ipv4Addr;

use dhcp_reply::DhcpV4Lease as Found;
use init::agent::network::lease::Lease;
use init::agent::network::plan::leased;
use machine_config::machine::{Addressing, Network};
use mozim::{DhcpV4ClasslessRoute, DhcpV4Lease};

use crate::input::Input;

/// The address that the other machines know.
const PROMISED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 21);
/// What every IPv4 host must take in one piece.
const MTU_MIN: u32 = 576;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let kind = input.below(3);
    let bytes = input.rest();
    let found = match kind {
        0 => dhcp_reply::lease(bytes),
        1 => dhcp_reply::frame(bytes).and_then(|frame| dhcp_reply::lease(&frame)),
        _ => dhcp_reply::lease_of_datagram(bytes),
    };
    let Some(found) = found else { return };
    let lease = Lease::of(&ours(&found));
    let network = Network {
        mac: None,
        addressing: Addressing::Dhcp {},
        address: PROMISED,
        resolvers: Vec::new(),
        time_servers: Vec::new(),
    };
    match leased(&network, &lease) {
        Ok(plan) => {
            assert_eq!(plan.address.addr(), PROMISED);
            assert_eq!(plan.address.netmask(), found.subnet_mask);
            assert_ne!(plan.address.prefix_len(), 0, "the whole world is on this link");
            assert!(plan.mtu.is_none_or(|mtu| mtu >= MTU_MIN));
        }
        Err(unusable) => assert!(!unusable.to_string().is_empty()),
    }
    // Also when it is the promised address.
    let _ = leased(&network, &Lease { address: PROMISED, ..lease });
}

/// The same lease as the type that the agent is compiled with.
fn ours(found: &Found) -> DhcpV4Lease {
    let mut lease = DhcpV4Lease::default();
    lease.yiaddr = found.yiaddr;
    lease.subnet_mask = found.subnet_mask;
    lease.gateways.clone_from(&found.gateways);
    lease.dns_srvs.clone_from(&found.dns_srvs);
    lease.ntp_srvs.clone_from(&found.ntp_srvs);
    lease.mtu = found.mtu;
    lease.classless_routes = found.classless_routes.as_ref().map(|routes| {
        let route = |route: &dhcp_reply::DhcpV4ClasslessRoute| DhcpV4ClasslessRoute {
            destination: route.destination,
            prefix_length: route.prefix_length,
            router: route.router,
        };
        routes.iter().map(route).collect()
    });
    lease
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let server = [54, 4, 10, 77, 0, 1];
    let lifetime = [51, 4, 0, 0, 14, 16];
    let mask = [1, 4, 255, 255, 255, 0];
    let offer = [&[53, 1, 2][..], &server, &lifetime, &mask].concat();
    let rich = [
        &[53, 1, 5][..],
        &server,
        &lifetime,
        &[58, 4, 0, 0, 7, 8, 59, 4, 0, 0, 12, 78],
        &mask,
        &[3, 8, 10, 77, 0, 1, 10, 77, 0, 2, 6, 4, 10, 77, 0, 1, 42, 4, 10, 77, 0, 1],
        &[26, 2, 5, 220, 12, 2, b'w', b'1', 15, 4, b'd', b'e', b'm', b'o'],
        &[121, 13, 0, 10, 77, 0, 1, 24, 10, 96, 0, 10, 77, 0, 3],
        &[119, 6, 4, b'd', b'e', b'm', b'o', 0, 52, 1, 3],
    ]
    .concat();
    let mut seeds = Vec::new();
    for options in [offer, rich] {
        let payload = reply(&options);
        seeds.push([vec![0], dhcp_reply::frame(&payload).unwrap()].concat());
        seeds.push([vec![1], payload.clone()].concat());
        seeds.push([vec![2], payload].concat());
    }
    seeds
}

/// BOOTP's fixed part for the promised address, and options.
fn reply(options: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 236];
    payload[..4].copy_from_slice(&[2, 1, 6, 0]);
    payload[16..20].copy_from_slice(&PROMISED.octets());
    payload.extend([0x63, 0x82, 0x53, 0x63]);
    payload.extend(options);
    payload.push(255);
    payload
}
