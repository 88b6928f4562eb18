//! The ports and what goes where: takes a frame from one port and puts it on others, without waiting for anybody.
//!
//! A port exists for as long as the lab; the wire behind it comes and goes with its machine. The gateway is a port
//! without a wire: what is for it is answered here or put into an inbox.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::pcap::Pcap;
use super::table::{Route, Table};
use super::wire::{Framing, Sent, Wire};
use crate::services;
use crate::{Mac, Network};

/// A port of the switch. The gateway's is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortId(pub(super) usize);

impl PortId {
    /// The switch's own port.
    pub(crate) const GATEWAY: PortId = PortId(usize::MAX);
}

/// Frames that may wait for the gateway's TCP/IP stack.
const INBOX_LIMIT: usize = 1024;

/// What a port has carried since the lab started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PortStats {
    /// Frames that the machine sent.
    pub received: u64,
    /// Frames that the machine was given.
    pub sent: u64,
    /// Frames that it did not take in time.
    pub dropped: u64,
}

#[derive(Debug)]
struct Port {
    name: String,
    wire: Option<Wire>,
    stats: PortStats,
}

/// All ports of one switch.
#[derive(Debug)]
pub(crate) struct Fabric {
    network: Rc<Network>,
    ports: Vec<Port>,
    table: Table,
    pcap: Option<Pcap>,
    inbox: VecDeque<Vec<u8>>,
    inbox_filled: Rc<Notify>,
}

impl Fabric {
    pub(super) fn new(network: Rc<Network>, pcap: Option<Pcap>) -> Self {
        let mut table = Table::default();
        table.learn(Network::GATEWAY_MAC, PortId::GATEWAY);
        let inbox_filled = Rc::new(Notify::new());
        Fabric { network, ports: Vec::new(), table, pcap, inbox: VecDeque::new(), inbox_filled }
    }

    pub(super) fn add_port(&mut self, name: String) -> PortId {
        self.ports.push(Port { name, wire: None, stats: PortStats::default() });
        PortId(self.ports.len() - 1)
    }

    /// Plugs a cable in; a machine that restarted replaces its old one.
    pub(super) fn plug(
        &mut self,
        port: PortId,
        socket: Rc<AsyncFd<OwnedFd>>,
        framing: Framing,
    ) -> Rc<Notify> {
        let wire = Wire::new(socket, framing);
        let backlog = wire.backlog();
        if let Some(port) = self.ports.get_mut(port.0) {
            port.wire = Some(wire);
        }
        backlog
    }

    /// Takes a cable out, unless it was replaced meanwhile.
    pub(super) fn unplug(&mut self, port: PortId, socket: &Rc<AsyncFd<OwnedFd>>) {
        if let Some(found) = self.ports.get_mut(port.0)
            && found.wire.as_ref().is_some_and(|wire| wire.is(socket))
        {
            found.wire = None;
            self.table.forget(port);
        }
    }

    pub(super) fn wire(&mut self, port: PortId, socket: &Rc<AsyncFd<OwnedFd>>) -> Option<&mut Wire> {
        self.ports.get_mut(port.0)?.wire.as_mut().filter(|wire| wire.is(socket))
    }

    /// Carries one frame.
    pub(crate) fn forward(&mut self, from: PortId, frame: &[u8]) {
        let Some((destination, source)) = addresses(frame) else { return };
        if let Some(port) = self.ports.get_mut(from.0) {
            port.stats.received += 1;
        }
        self.capture(frame);
        // A machine that claims the gateway's address must not cut the others off from it.
        if source != Network::GATEWAY_MAC {
            self.table.learn(source, from);
        }
        match self.table.route(destination, from) {
            Route::Drop => {}
            Route::Port(PortId::GATEWAY) => self.deliver_to_gateway(frame),
            Route::Port(port) => self.deliver(port, frame),
            Route::Flood => {
                for port in 0..self.ports.len() {
                    if PortId(port) != from {
                        self.deliver(PortId(port), frame);
                    }
                }
                if from != PortId::GATEWAY && destination == Mac::BROADCAST {
                    self.deliver_to_gateway(frame);
                }
            }
        }
    }

    fn deliver(&mut self, port: PortId, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(port.0) else { return };
        let Some(wire) = &mut port.wire else { return };
        match wire.send(frame) {
            Sent::Now | Sent::Queued => port.stats.sent += 1,
            Sent::Dropped => port.stats.dropped += 1,
        }
    }

    fn deliver_to_gateway(&mut self, frame: &[u8]) {
        match services::consider(frame, &self.network, SystemTime::now()) {
            services::Verdict::Reply(reply) => self.forward(PortId::GATEWAY, &reply),
            services::Verdict::Stack if self.inbox.len() < INBOX_LIMIT => {
                self.inbox.push_back(frame.to_vec());
                self.inbox_filled.notify_one();
            }
            services::Verdict::Stack | services::Verdict::Ignore => {}
        }
    }

    /// The next frame for the gateway's TCP/IP stack.
    pub(crate) fn take_for_gateway(&mut self) -> Option<Vec<u8>> {
        self.inbox.pop_front()
    }

    /// Woken when there is a frame for the gateway's stack.
    pub(crate) fn inbox_filled(&self) -> Rc<Notify> {
        Rc::clone(&self.inbox_filled)
    }

    /// The gateway's address.
    pub(crate) fn gateway(&self) -> (Ipv4Addr, u8) {
        (self.network.gateway, self.network.prefix)
    }

    pub(super) fn stats(&self) -> impl Iterator<Item = (&str, bool, PortStats)> {
        self.ports.iter().map(|port| (port.name.as_str(), port.wire.is_some(), port.stats))
    }

    fn capture(&mut self, frame: &[u8]) {
        if let Some(pcap) = &mut self.pcap
            && let Err(error) = pcap.record(frame, SystemTime::now())
        {
            tracing::warn!(%error, "capture ended");
            self.pcap = None;
        }
    }

    pub(super) fn flush_capture(&mut self) {
        if let Some(pcap) = &mut self.pcap
            && let Err(error) = pcap.flush()
        {
            tracing::warn!(%error, "capture ended");
            self.pcap = None;
        }
    }
}

fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let (destination, rest) = frame.split_first_chunk::<6>()?;
    let (source, rest) = rest.split_first_chunk::<6>()?;
    // Shorter than a header with its type: nothing that any stack would send.
    (rest.len() >= 2).then_some((Mac(*destination), Mac(*source)))
}
