//! A stratum-1 SNTP server on the host's clock (RFC 4330): one packet in, one packet out.
//!
//! Machines under User-mode Linux share the host's clock anyway; those under QEMU drift, and both must take the road
//! that they take on hardware, where certificates are worthless until the clock is right.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of a packet without authenticator.
const PACKET: usize = 48;
/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;
/// Mode field of a client's request and of a server's reply.
const CLIENT: u8 = 3;
const SERVER: u8 = 4;

/// The reply to a client's packet; `None` for anything else.
pub(super) fn answer(request: &[u8], now: SystemTime) -> Option<Vec<u8>> {
    let request: &[u8; PACKET] = request.first_chunk()?;
    let [first, _, poll, ..] = *request;
    let (version, mode) = ((first >> 3) & 7, first & 7);
    if mode != CLIENT || version == 0 {
        return None;
    }
    let now = timestamp(now);
    let mut reply = Vec::with_capacity(PACKET);
    // No leap second, the client's version, stratum 1, its poll interval, precision 2^-20 s.
    reply.extend([(version << 3) | SERVER, 1, poll, 0xec]);
    reply.extend([0; 8]); // root delay and dispersion: we are the reference
    reply.extend(b"LOCL");
    reply.extend(now); // reference
    reply.extend(request.get(40..48)?); // originate: the client's own transmit time
    reply.extend(now); // receive
    reply.extend(now); // transmit
    Some(reply)
}

fn timestamp(at: SystemTime) -> [u8; 8] {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // Eras wrap every 136 years; the field is defined modulo 2^32.
    let seconds = (since.as_secs() + NTP_TO_UNIX) & 0xffff_ffff;
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    ((seconds << 32) | fraction).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_the_hosts_time_and_its_own_stamp_back() {
        let mut request = [0; PACKET];
        request[0] = (4 << 3) | CLIENT;
        request[40..48].copy_from_slice(b"clients!");
        let reply = answer(&request, UNIX_EPOCH + Duration::from_millis(1_500)).unwrap();
        assert_eq!(reply[0], (4 << 3) | SERVER);
        assert_eq!(reply[1], 1);
        assert_eq!(reply[24..32], *b"clients!");
        assert_eq!(reply[40..44], u32::try_from(NTP_TO_UNIX + 1).unwrap().to_be_bytes());
        assert_eq!(reply[44..48], 0x8000_0000u32.to_be_bytes());
    }

    #[test]
    fn servers_and_fragments_are_not_answered() {
        assert_eq!(answer(&[0; 47], UNIX_EPOCH), None);
        assert_eq!(answer(&[(4 << 3) | SERVER; PACKET], UNIX_EPOCH), None);
    }
}
