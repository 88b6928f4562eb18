//! mozim's reader of DHCP replies: the crate keeps it to itself, behind a packet socket.
//!
//! `build.rs` names its modules where cargo has them; what they want of their crate's root is below.
//! [`lease`] is what the client does with a frame that its socket gives it, up to the lease.

#![allow(dead_code, unused, unexpected_cfgs, clippy::all, missing_docs, reason = "another's sources")]

include!(concat!(env!("OUT_DIR"), "/mozim.rs"));

pub(crate) use async_fd::register_owned_fd;
pub(crate) use buffer::{Buffer, BufferMut};
pub use dhcpv4::*;
pub use error::{DhcpError, ErrorContext, ErrorKind};
pub(crate) use time::DhcpTimer;

pub(crate) const ETH_ALEN: usize = 6;

/// The lease in a frame from the wire: what `DhcpV4Socket::recv_dhcp_lease` does with it.
pub fn lease(frame: &[u8]) -> Option<DhcpV4Lease> {
    let message = DhcpV4Message::parse_eth_packet(frame).ok()?;
    message.message_type()?;
    message.lease()
}

/// The same from the payload of a datagram, as a renewal comes.
pub fn lease_of_datagram(payload: &[u8]) -> Option<DhcpV4Lease> {
    let message = DhcpV4Message::parse(payload).ok()?;
    message.message_type()?;
    message.lease()
}

/// A frame with this payload, as a server sends it.
pub fn frame(payload: &[u8]) -> Option<Vec<u8>> {
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 77, 0, 1], [255; 4], 64)
        .udp(67, 68);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).ok()?;
    Some(frame)
}
