//! A DHCPv4 server for reserved cards only: everybody in a lab is known before it is switched on.
//!
//! There is no pool and no lease database; a request is answered from `Network` or not at all.

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};

use crate::{Host, Mac, Network};

/// Seconds. Short enough that a machine which runs for a working day has renewed a few times.
const LEASE: u32 = 3600;

/// A reply and how it has to travel.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) payload: Vec<u8>,
    pub(super) broadcast: bool,
}

/// The reply to a client's message; `None` when it has to go without one.
pub(super) fn answer(request: &[u8], network: &Network) -> Option<Answer> {
    let request = Message::decode(&mut Decoder::new(request)).ok()?;
    if request.opcode() != Opcode::BootRequest {
        return None;
    }
    let card = Mac(request.chaddr().try_into().ok()?);
    let Some(host) = network.host(card) else {
        tracing::debug!(%card, "DHCP request of an unknown card");
        return None;
    };
    let kind = decide(&request, host, network)?;
    let reply = build(&request, kind, host, network);
    let mut payload = Vec::with_capacity(320);
    reply.encode(&mut Encoder::new(&mut payload)).ok()?;
    Some(Answer { payload, broadcast: request.flags().broadcast() })
}

fn decide(request: &Message, host: &Host, network: &Network) -> Option<MessageType> {
    let options = request.opts();
    let addressed_to = match options.get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
        _ => None,
    };
    if addressed_to.is_some_and(|server| server != network.gateway) {
        return None;
    }
    match options.msg_type()? {
        MessageType::Discover => Some(MessageType::Offer),
        MessageType::Request => {
            let wanted = match options.get(OptionCode::RequestedIpAddress) {
                Some(DhcpOption::RequestedIpAddress(address)) => *address,
                _ => request.ciaddr(),
            };
            Some(if wanted == host.address { MessageType::Ack } else { MessageType::Nak })
        }
        MessageType::Inform => Some(MessageType::Ack),
        _ => None,
    }
}

fn build(request: &Message, kind: MessageType, host: &Host, network: &Network) -> Message {
    let mut reply = Message::default();
    reply
        .set_opcode(Opcode::BootReply)
        .set_xid(request.xid())
        .set_flags(Flags::from(u16::from(request.flags())))
        .set_chaddr(request.chaddr());
    let informed = request.opts().msg_type() == Some(MessageType::Inform);
    if kind != MessageType::Nak {
        reply.set_siaddr(network.gateway);
        reply.set_ciaddr(request.ciaddr());
        if !informed {
            reply.set_yiaddr(host.address);
        }
    }
    let options = reply.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(network.gateway));
    if kind == MessageType::Nak {
        return reply;
    }
    if !informed {
        options.insert(DhcpOption::AddressLeaseTime(LEASE));
    }
    options.insert(DhcpOption::SubnetMask(network.netmask()));
    options.insert(DhcpOption::BroadcastAddr(network.broadcast()));
    options.insert(DhcpOption::Router(vec![network.gateway]));
    options.insert(DhcpOption::DomainNameServer(vec![network.gateway]));
    options.insert(DhcpOption::NtpServers(vec![network.gateway]));
    options.insert(DhcpOption::Hostname(host.name.clone()));
    reply
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::network::tests::example;

    fn request(kind: MessageType, mac: [u8; 6], wanted: Option<Ipv4Addr>) -> Vec<u8> {
        let mut message = Message::default();
        message.set_chaddr(&mac).set_flags(Flags::default().set_broadcast());
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        if let Some(wanted) = wanted {
            message.opts_mut().insert(DhcpOption::RequestedIpAddress(wanted));
        }
        message.to_vec().unwrap()
    }

    fn reply(request: &[u8]) -> Option<Message> {
        let answer = answer(request, &example())?;
        Some(Message::decode(&mut Decoder::new(&answer.payload)).unwrap())
    }

    const W1: [u8; 6] = [0x52, 0x54, 0, 0x4d, 0, 2];
    const W1_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 21);

    #[test]
    fn a_known_card_is_offered_its_own_address_with_router_names_and_time() {
        let offer = reply(&request(MessageType::Discover, W1, None)).unwrap();
        assert_eq!(offer.opts().msg_type(), Some(MessageType::Offer));
        assert_eq!(offer.yiaddr(), W1_ADDRESS);
        let gateway = vec![example().gateway];
        let option = |code| offer.opts().get(code).cloned();
        assert_eq!(option(OptionCode::Router), Some(DhcpOption::Router(gateway.clone())));
        assert_eq!(option(OptionCode::DomainNameServer), Some(DhcpOption::DomainNameServer(gateway.clone())));
        assert_eq!(option(OptionCode::NtpServers), Some(DhcpOption::NtpServers(gateway)));
        assert_eq!(
            option(OptionCode::SubnetMask),
            Some(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)))
        );
    }

    #[test]
    fn a_request_for_another_address_is_refused_and_for_its_own_granted() {
        let other = reply(&request(MessageType::Request, W1, Some(Ipv4Addr::new(10, 77, 0, 99)))).unwrap();
        assert_eq!(other.opts().msg_type(), Some(MessageType::Nak));
        let own = reply(&request(MessageType::Request, W1, Some(W1_ADDRESS))).unwrap();
        assert_eq!(own.opts().msg_type(), Some(MessageType::Ack));
    }

    #[test]
    fn an_unknown_card_a_release_and_a_request_to_another_server_get_silence() {
        assert!(reply(&request(MessageType::Discover, [2; 6], None)).is_none());
        assert!(reply(&request(MessageType::Release, W1, None)).is_none());
        let mut message = Message::default();
        message.set_chaddr(&W1);
        message.opts_mut().insert(DhcpOption::MessageType(MessageType::Request));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 77, 0, 2)));
        assert!(reply(&message.to_vec().unwrap()).is_none());
    }
}
