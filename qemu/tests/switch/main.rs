//! The switch and its gateway, with machines played by threads on the other end of the real sockets.
//!
//! Only what can be seen from a cable is tested here; decisions have their tests beside them. Helpers are test code
//! too, though clippy only knows that of the functions marked so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod machine;
mod net;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use lab::{Framing, Mac};
use machine::TcpMachine;
use net::{Cable, Net, address, mac};

const GATEWAY: [u8; 4] = [10, 77, 0, 1];

fn frame(from: Mac, to: Mac, text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(from.0, to.0)
        .ipv4(address(1).octets(), address(2).octets(), 64)
        .udp(1000, 1000)
        .write(&mut frame, text.as_bytes())
        .unwrap();
    frame
}

#[test]
fn a_broadcast_reaches_everybody_and_an_answer_only_who_asked() {
    let net = Net::start(&[Framing::Message, Framing::Message, Framing::Stream]);
    let [mut one, mut two, mut three] = [net.connect(1), net.connect(2), net.connect(3)];
    let question = frame(mac(1), Mac::BROADCAST, "who?");
    one.send(&question);
    assert_eq!(two.receive(), Some(question.clone()));
    assert_eq!(three.receive(), Some(question));
    for (from, cable) in [(2, &mut two), (3, &mut three)] {
        let answer = frame(mac(from), mac(1), "me");
        cable.send(&answer);
        assert_eq!(one.receive(), Some(answer));
    }
    assert_eq!(two.receive_soon(), None);
    assert_eq!(three.receive_soon(), None);
}

#[test]
fn a_machine_that_restarts_takes_its_port_again() {
    let net = Net::start(&[Framing::Message, Framing::Stream]);
    for _ in 0..3 {
        let [mut one, mut two] = [net.connect(1), net.connect(2)];
        let there = frame(mac(1), mac(2), "are you there?");
        one.send(&there);
        assert_eq!(two.receive(), Some(there));
        let here = frame(mac(2), mac(1), "again");
        two.send(&here);
        assert_eq!(one.receive(), Some(here));
    }
}

#[test]
fn a_machine_that_does_not_read_holds_up_nobody_else() {
    let net = Net::start(&[Framing::Message, Framing::Stream, Framing::Message]);
    let [mut one, mut stuck, mut three] = [net.connect(1), net.connect(2), net.connect(3)];
    stuck.send(&frame(mac(2), mac(1), "here I am"));
    three.send(&frame(mac(3), mac(1), "and I"));
    assert!(one.receive().is_some() && one.receive().is_some());
    assert!(three.receive().is_some(), "nobody knew yet where the first machine is");
    let flood = frame(mac(1), mac(2), &"x".repeat(1400));
    for _ in 0..5000 {
        one.send(&flood);
    }
    let last = frame(mac(1), mac(3), "still here?");
    one.send(&last);
    assert_eq!(three.receive(), Some(last));
    let dropped = net.stats().iter().find(|(name, ..)| name == "m2").unwrap().2.dropped;
    assert!(dropped > 0, "5000 frames of 1.4 kB were all kept for a machine that reads none");
    // What was kept arrives whole once it reads: a stream must not lose its framing.
    let mut kept = 0;
    while let Some(received) = stuck.receive_soon() {
        if received == flood {
            kept += 1;
        }
    }
    assert!(kept > 100 && kept < 5000, "{kept}");
}

#[test]
fn a_dhcp_client_gets_its_reserved_address() {
    let net = Net::start(&[Framing::Message]);
    let mut cable = net.connect(1);
    let offer = dhcp(&mut cable, MessageType::Discover, None);
    assert_eq!((offer.opts().msg_type(), offer.yiaddr()), (Some(MessageType::Offer), address(1)));
    let ack = dhcp(&mut cable, MessageType::Request, Some(offer.yiaddr()));
    assert_eq!((ack.opts().msg_type(), ack.yiaddr()), (Some(MessageType::Ack), address(1)));
    assert_eq!(ack.opts().get(OptionCode::Router), Some(&DhcpOption::Router(vec![GATEWAY.into()])));
    let nak = dhcp(&mut cable, MessageType::Request, Some(address(99)));
    assert_eq!(nak.opts().msg_type(), Some(MessageType::Nak));
}

fn dhcp(cable: &mut Cable, kind: MessageType, wanted: Option<Ipv4Addr>) -> Message {
    let mut request = Message::default();
    request.set_chaddr(&mac(1).0).set_flags(Flags::default().set_broadcast()).set_xid(7);
    request.opts_mut().insert(DhcpOption::MessageType(kind));
    if let Some(wanted) = wanted {
        request.opts_mut().insert(DhcpOption::RequestedIpAddress(wanted));
    }
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac(1).0, Mac::BROADCAST.0)
        .ipv4([0; 4], [255; 4], 64)
        .udp(68, 67)
        .write(&mut frame, &request.to_vec().unwrap())
        .unwrap();
    cable.send(&frame);
    let payload = datagram(&cable.receive().expect("no answer"));
    let reply = Message::decode(&mut Decoder::new(&payload)).unwrap();
    assert_eq!(reply.xid(), 7);
    reply
}

fn datagram(frame: &[u8]) -> Vec<u8> {
    match SlicedPacket::from_ethernet(frame).unwrap().transport {
        Some(TransportSlice::Udp(udp)) => udp.payload().to_vec(),
        other => panic!("{other:?}"),
    }
}

fn ask(cable: &mut Cable, port: u16, request: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac(1).0, lab::Network::GATEWAY_MAC.0)
        .ipv4(address(1).octets(), GATEWAY, 64)
        .udp(4000, port)
        .write(&mut frame, request)
        .unwrap();
    cable.send(&frame);
    datagram(&cable.receive().expect("no answer"))
}

#[test]
fn the_gateway_knows_the_machines_names_and_the_hosts_time() {
    let net = Net::start(&[Framing::Message, Framing::Message]);
    let mut cable = net.connect(1);
    let query = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02m2\x00\x00\x01\x00\x01";
    let answer = ask(&mut cable, 53, query);
    assert_eq!(answer[answer.len() - 4..], address(2).octets());

    let mut request = [0; 48];
    request[0] = 0x23;
    let answer = ask(&mut cable, 123, &request);
    let seconds = u32::from_be_bytes(answer[40..44].try_into().unwrap());
    let unix = u64::from(seconds) - 2_208_988_800;
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(unix) <= 1, "{unix} instead of {now}");
}

#[test]
fn a_forward_carries_bytes_both_ways_and_half_closes() {
    let net = Net::start(&[Framing::Message]);
    let forward = net.forward(1, 7000);
    let _echo = TcpMachine::start(net.connect(1), 1, 7000, 4);
    let mut client = TcpStream::connect(forward).unwrap();
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let mut writer = client.try_clone().unwrap();
    let copy = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == sent, "{} bytes instead of {}", got.len(), sent.len());
}

#[test]
fn many_connections_share_a_forward() {
    let net = Net::start(&[Framing::Message]);
    let forward = net.forward(1, 7000);
    let _echo = TcpMachine::start(net.connect(1), 1, 7000, 40);
    let clients: Vec<_> = (0..40u8)
        .map(|number| {
            thread::spawn(move || {
                let mut client = TcpStream::connect(forward).unwrap();
                client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                client.write_all(&[number; 10_000]).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                client.read_to_end(&mut got).unwrap();
                assert!(got == [number; 10_000], "{} bytes", got.len());
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_connection_that_nobody_accepts_is_reset() {
    let net = Net::start(&[Framing::Message]);
    let forward = net.forward(1, 7001);
    let _echo = TcpMachine::start(net.connect(1), 1, 7000, 1);
    let mut client = TcpStream::connect(forward).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_client_that_does_not_read_stops_the_machine_from_sending() {
    let net = Net::start(&[Framing::Message]);
    let forward = net.forward(1, 7000);
    let echo = TcpMachine::start(net.connect(1), 1, 7000, 1);
    let mut client = TcpStream::connect(forward).unwrap();
    client.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let block = vec![1; 1 << 20];
    let mut sent = 0;
    // Every buffer on the way out and back fills up; then nothing moves any more.
    let blocked = loop {
        match client.write(&block) {
            Ok(count) => sent += count,
            Err(error) => break error.kind(),
        }
        assert!(sent < 64 << 20, "somebody swallows bytes without bound");
    };
    assert_eq!(blocked, ErrorKind::WouldBlock);
    let before = echo.echoed();
    let deadline = Instant::now() + Duration::from_millis(300);
    while Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(echo.echoed(), before);
    // It goes on where it stopped.
    client.shutdown(Shutdown::Write).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), sent);
}
