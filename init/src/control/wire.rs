//! Messages as packets: postcard, whole or not at all.
//!
//! Bytes that are left over are as wrong as bytes that are missing: both ends are of one
//! build, so anything unexpected is an error and never half a message.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::{Answer, PACKET_MAX, Request};

/// Why bytes are no message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not decodable.
    #[error("not decodable: {0}")]
    Encoding(#[from] postcard::Error),
    /// Longer than any message.
    #[error("a message of {0} bytes; at most {PACKET_MAX} are sent")]
    TooLong(usize),
    /// More than a message.
    #[error("{0} bytes after the message")]
    Rest(usize),
}

fn encode(message: &impl Serialize) -> Result<Vec<u8>, WireError> {
    let bytes = postcard::to_allocvec(message)?;
    if bytes.len() > PACKET_MAX { Err(WireError::TooLong(bytes.len())) } else { Ok(bytes) }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let (message, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(message) } else { Err(WireError::Rest(rest.len())) }
}

impl Request {
    /// As a packet.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        encode(self)
    }

    /// From a packet.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes)
    }
}

impl Answer {
    /// As a packet.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        encode(self)
    }

    /// From a packet.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::control::message::Order;

    #[test]
    fn what_is_sent_is_received() {
        let request = Request::Do(Order::Stop { service: "etcd".to_owned(), cascade: true });
        let mut packet = request.encode().unwrap();
        assert_eq!(Request::decode(&packet).unwrap(), request);
        packet.push(0);
        assert_eq!(Request::decode(&packet), Err(WireError::Rest(1)));
        assert!(matches!(Request::decode(&packet[..2]), Err(WireError::Encoding(_))));
    }

    #[test]
    fn a_message_that_no_packet_holds_is_not_sent() {
        let answer = Answer::Refused("x".repeat(PACKET_MAX));
        assert!(matches!(answer.encode(), Err(WireError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Request::decode(&bytes);
            let _ = Answer::decode(&bytes);
        }
    }
}
