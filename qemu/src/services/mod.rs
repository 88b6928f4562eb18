//! What the gateway answers by itself, datagram by datagram: DHCP, DNS and SNTP.
//!
//! All three are functions from a request's bytes to a reply's bytes; this file finds the request in an Ethernet frame
//! and wraps the reply. None of it shares code with the machines' own clients, so a misreading cannot hide in both.

mod dhcp;
mod dns;
mod sntp;

use std::net::Ipv4Addr;
use std::time::SystemTime;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

use crate::{Mac, Network};

const DNS: u16 = 53;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const NTP: u16 = 123;

/// What becomes of a frame that reached the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This frame answers it.
    Reply(Vec<u8>),
    /// The TCP/IP stack has to see it.
    Stack,
    /// Nobody here wants it.
    Ignore,
}

/// A datagram on its way back.
struct Reply {
    payload: Vec<u8>,
    mac: Mac,
    address: Ipv4Addr,
    port: u16,
}

/// Looks at one frame that is addressed to the gateway or to everybody.
pub(crate) fn consider(frame: &[u8], network: &Network, now: SystemTime) -> Verdict {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return Verdict::Ignore };
    let (ip, udp) = match (&packet.net, &packet.transport) {
        (Some(NetSlice::Arp(_)), _) => return Verdict::Stack,
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) => (ip, udp),
        (Some(NetSlice::Ipv4(ip)), _) if ip.header().destination_addr() == network.gateway => {
            return Verdict::Stack;
        }
        _ => return Verdict::Ignore,
    };
    let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
    let source = frame.get(6..12).and_then(|mac| mac.try_into().ok()).map_or(Mac::BROADCAST, Mac);
    let back = |payload| Reply { payload, mac: source, address: from, port: udp.source_port() };

    let reply = match udp.destination_port() {
        DHCP_SERVER => dhcp::answer(udp.payload(), network).map(|answer| Reply {
            payload: answer.payload,
            // The client has no address yet, so nothing but the limited broadcast reaches it for certain.
            mac: if answer.broadcast { Mac::BROADCAST } else { source },
            address: Ipv4Addr::BROADCAST,
            port: DHCP_CLIENT,
        }),
        DNS if to == network.gateway => dns::answer(udp.payload(), network).map(back),
        NTP if to == network.gateway => sntp::answer(udp.payload(), now).map(back),
        _ if to == network.gateway => return Verdict::Stack,
        _ => return Verdict::Ignore,
    };
    match reply.and_then(|reply| wrap(&reply, network, udp.destination_port())) {
        Some(frame) => Verdict::Reply(frame),
        None => Verdict::Ignore,
    }
}

fn wrap(reply: &Reply, network: &Network, port: u16) -> Option<Vec<u8>> {
    let builder = PacketBuilder::ethernet2(Network::GATEWAY_MAC.0, reply.mac.0)
        .ipv4(network.gateway.octets(), reply.address.octets(), 64)
        .udp(port, reply.port);
    let mut frame = Vec::with_capacity(builder.size(reply.payload.len()));
    builder.write_to_vec(&mut frame, &reply.payload).ok()?;
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::tests::example;

    const W1: Mac = Mac([0x52, 0x54, 0, 0x4d, 0, 2]);

    fn datagram(to: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(W1.0, Network::GATEWAY_MAC.0)
            .ipv4([10, 77, 0, 21], to.octets(), 64)
            .udp(40_000, port);
        let mut frame = Vec::new();
        builder.write_to_vec(&mut frame, payload).unwrap();
        frame
    }

    #[test]
    fn a_time_request_is_answered_to_the_port_and_card_that_asked() {
        let mut request = [0; 48];
        request[0] = 0x23;
        let frame = datagram(Ipv4Addr::new(10, 77, 0, 1), NTP, &request);
        let Verdict::Reply(reply) = consider(&frame, &example(), SystemTime::now()) else {
            panic!("no reply")
        };
        let packet = SlicedPacket::from_ethernet(&reply).unwrap();
        let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no datagram") };
        assert_eq!((udp.source_port(), udp.destination_port()), (NTP, 40_000));
        assert_eq!(reply[..6], W1.0);
        assert_eq!(udp.payload().len(), 48);
    }

    #[test]
    fn services_answer_only_at_the_gateways_address_and_other_ports_go_to_the_stack() {
        let network = example();
        let elsewhere = datagram(Ipv4Addr::new(10, 77, 0, 9), NTP, &[0x23; 48]);
        assert_eq!(consider(&elsewhere, &network, SystemTime::now()), Verdict::Ignore);
        let closed = datagram(network.gateway, 9, b"x");
        assert_eq!(consider(&closed, &network, SystemTime::now()), Verdict::Stack);
    }

    #[test]
    fn garbage_is_ignored() {
        for length in 0..64 {
            let frame = vec![0xff; length];
            assert_eq!(consider(&frame, &example(), SystemTime::now()), Verdict::Ignore);
        }
    }
}
