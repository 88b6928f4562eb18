//! A machine with a TCP/IP stack: echoes what it is sent on one port, as many connections at a time as told.
//!
//! smoltcp on both sides of the wire could hide a shared mistake; that a real kernel gets along with the gateway is
//! shown by the tests on booted machines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::net::{Cable, address, mac};

pub struct TcpMachine {
    stop: Arc<AtomicBool>,
    echoed: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl TcpMachine {
    pub fn start(cable: Cable, number: u8, port: u16, connections: usize) -> Self {
        let (stop, echoed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = std::thread::spawn({
            let (stop, echoed) = (Arc::clone(&stop), Arc::clone(&echoed));
            move || run(cable, number, port, connections, &stop, &echoed)
        });
        TcpMachine { stop, echoed, thread: Some(thread) }
    }

    /// Bytes sent back so far.
    pub fn echoed(&self) -> usize {
        self.echoed.load(Ordering::Relaxed)
    }
}

impl Drop for TcpMachine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(cable: Cable, number: u8, port: u16, connections: usize, stop: &AtomicBool, echoed: &AtomicUsize) {
    let mut card = Card { cable, received: VecDeque::new() };
    let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac(number).0)));
    let started = Instant::now();
    let mut interface = Interface::new(config, &mut card, smoltcp::time::Instant::ZERO);
    interface.update_ip_addrs(|list| {
        list.push(IpCidr::new(IpAddress::Ipv4(address(number)), 24)).unwrap();
    });
    let mut sockets = SocketSet::new(Vec::new());
    let handles: Vec<_> = (0..connections)
        .map(|_| {
            let buffer = || tcp::SocketBuffer::new(vec![0; 65_536]);
            let mut socket = tcp::Socket::new(buffer(), buffer());
            socket.listen(port).unwrap();
            sockets.add(socket)
        })
        .collect();
    while !stop.load(Ordering::Relaxed) {
        let wait = Duration::from_millis(1);
        while let Some(frame) = card.cable.receive_within(wait) {
            card.received.push_back(frame);
            if card.received.len() >= 32 {
                break;
            }
        }
        let now = smoltcp::time::Instant::from_millis(started.elapsed().as_millis() as i64);
        interface.poll(now, &mut card, &mut sockets);
        for handle in &handles {
            echo(sockets.get_mut(*handle), port, echoed);
        }
        interface.poll(now, &mut card, &mut sockets);
    }
}

fn echo(socket: &mut tcp::Socket<'_>, port: u16, echoed: &AtomicUsize) {
    while socket.can_recv() && socket.can_send() {
        let room = socket.send_capacity() - socket.send_queue();
        let bytes =
            socket.recv(|bytes| (bytes.len().min(room), bytes[..bytes.len().min(room)].to_vec())).unwrap();
        let sent = socket.send_slice(&bytes).unwrap();
        assert_eq!(sent, bytes.len());
        echoed.fetch_add(sent, Ordering::Relaxed);
    }
    if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
        socket.close();
    }
    if !socket.is_open() {
        socket.listen(port).unwrap();
    }
}

struct Card {
    cable: Cable,
    received: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);

struct Room<'a>(&'a mut Cable);

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Room<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Room(&mut self.cable)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Room<'_>> {
        Some(Room(&mut self.cable))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, build: F) -> R {
        let mut frame = vec![0; length];
        let result = build(&mut frame);
        self.0.send(&frame);
        result
    }
}
