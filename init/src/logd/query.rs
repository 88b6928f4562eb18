//! What readers ask and what they get: the words of /run/slipway/logs/socket.
//!
//! One question per connection, then answers until there are no more: each is a length (four
//! bytes, little-endian) and that many bytes of postcard. A question that does not decode is
//! refused. Readers use `client`; apid passes on what it gives.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::record::{BootId, Line};

/// Where readers are served.
pub const SOCKET: &str = "/run/slipway/logs/socket";
/// The longest question.
pub const QUESTION_MAX: usize = 16 * 1024;
/// The longest answer: a line of any bytes with all that belongs to it.
pub const ANSWER_MAX: usize = 64 * 1024;
/// The most lines that `tail` may ask for.
pub const TAIL_MAX: u32 = 1_000_000;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Lines, in the order of time.
    Lines(Wanted),
    /// What was kept and what was dropped, per service.
    Counters,
}

/// Which lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Whose; everybody's without it.
    pub service: Option<String>,
    /// Not from before, in microseconds since 1970.
    pub since: Option<u64>,
    /// Of which boots.
    pub boot: Boots,
    /// Only lines that contain these bytes.
    pub grep: Option<Vec<u8>>,
    /// Whether to go on with new lines as they come.
    pub follow: bool,
    /// Of those that exist, only the last so many.
    pub tail: Option<u32>,
    /// Not the lines as such but those that were set apart when the service failed.
    pub failure: Option<Failure>,
    /// Per service: of the first boot that is wanted, only lines after this number. For those who come back.
    pub after: Vec<(String, u64)>,
}

/// Of which boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Boots {
    /// This one.
    #[default]
    Current,
    /// So many boots ago; 1 is the one before this.
    Ago(u16),
    /// The one with this id.
    Id(BootId),
    /// All that are kept.
    All,
    /// The one with this id and those after it; all that are kept if nobody knows when it was.
    Since(BootId),
}

/// Which failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The first since boot.
    First,
    /// The latest.
    Latest,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// A line.
    Line(Line),
    /// Lines of a service that are no longer there: the reader was too slow, or the disk was.
    Missed {
        /// Whose.
        service: String,
        /// How many.
        lines: u64,
    },
    /// To [`Query::Counters`].
    Counters(Vec<Counters>),
    /// It is not answered.
    Refused(String),
}

/// A service's lines, counted since boot unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Whose.
    pub service: String,
    /// Lines kept.
    pub lines: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// Lines dropped above the limit.
    pub dropped_limit: u64,
    /// Lines for which memory had no room (since logd began).
    pub dropped_memory: u64,
    /// Lines kept in memory that never came to disk (since logd began).
    pub dropped_disk: u64,
    /// Lines that the kernel wrote over before they were read (since logd began).
    pub dropped_kernel: u64,
    /// Spoiled places on disk that were skipped (since logd began).
    pub spoiled: u64,
}

/// Writes one message.
///
/// # Errors
/// Those of write(2).
pub fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&bytes)
}

/// Reads one message of at most `limit` bytes; nothing at the end.
///
/// # Errors
/// Those of read(2); `InvalidData` for what is too long or does not decode.
pub fn receive<M: DeserializeOwned>(from: &mut impl Read, limit: usize) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match from.read(&mut length)? {
        0 => return Ok(None),
        n => from.read_exact(length.get_mut(n..).unwrap_or_default())?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    postcard::from_bytes(&bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_arrives_as_it_was_asked() {
        let asked =
            Query::Lines(Wanted { service: Some("etcd".to_owned()), tail: Some(3), ..Wanted::default() });
        let mut bytes = Vec::new();
        send(&mut bytes, &asked).unwrap();
        let mut from = &bytes[..];
        assert_eq!(receive(&mut from, QUESTION_MAX).unwrap(), Some(asked));
        assert_eq!(receive::<Query>(&mut from, QUESTION_MAX).unwrap(), None);
    }

    #[test]
    fn a_length_beyond_the_limit_is_not_believed() {
        let mut from = &u32::MAX.to_le_bytes()[..];
        assert_eq!(receive::<Query>(&mut from, 10).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
            framed.extend(&bytes);
            let _ = receive::<Query>(&mut &framed[..], QUESTION_MAX);
            let _ = receive::<Reply>(&mut &bytes[..], ANSWER_MAX);
        }
    }
}
