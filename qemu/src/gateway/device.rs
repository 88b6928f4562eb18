//! The switch's built-in port, as smoltcp sees a network card.
//!
//! Received frames are those that `crate::services` did not answer; frames to send go onto the switch at once, from
//! the buffer that they were built in.

use std::cell::RefCell;
use std::rc::Rc;

use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::switch::{Fabric, PortId};

/// Ethernet header and 1500 bytes: what every machine's card is set to.
const FRAME: usize = 1514;

/// The card.
#[derive(Debug)]
pub(super) struct Card {
    fabric: Rc<RefCell<Fabric>>,
    /// One frame is built at a time.
    scratch: Vec<u8>,
}

impl Card {
    pub(super) fn new(fabric: Rc<RefCell<Fabric>>) -> Self {
        Card { fabric, scratch: vec![0; FRAME] }
    }
}

/// A received frame.
#[derive(Debug)]
pub(super) struct Received(Vec<u8>);

/// Room for a frame to send.
#[derive(Debug)]
pub(super) struct Room<'a> {
    fabric: &'a RefCell<Fabric>,
    scratch: &'a mut Vec<u8>,
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Received, Room<'_>)> {
        let frame = self.fabric.borrow_mut().take_for_gateway()?;
        Some((Received(frame), self.transmit(now)?))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Room<'_>> {
        Some(Room { fabric: &self.fabric, scratch: &mut self.scratch })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        // Frames come over a unix socket: nothing flips bits on the way, and checking costs more than carrying.
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.icmpv4 = Checksum::Tx;
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
        self.scratch.clear();
        self.scratch.resize(length, 0);
        let result = build(self.scratch);
        self.fabric.borrow_mut().forward(PortId::GATEWAY, self.scratch);
        result
    }
}
