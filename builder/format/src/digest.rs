//! A SHA-256 digest: 32 bytes, written as 64 lower-case hex digits.
//!
//! Root hashes, file contents and image blobs are all named by one. Upper-case hex is refused:
//! a digest has one spelling, so texts that hold digests can be compared as texts.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 64 lower-case hex digits")]
pub struct DigestError(String);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of `salt` followed by `bytes`.
    #[must_use]
    pub fn salted(salt: &[u8], bytes: &[u8]) -> Self {
        Self(Sha256::new().chain_update(salt).chain_update(bytes).finalize().into())
    }

    /// The digest of everything that `from` yields, and how many bytes those were.
    ///
    /// # Errors
    /// Those of `from`.
    pub fn of_reader(from: &mut impl Read) -> io::Result<(Self, u64)> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut total = 0_u64;
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok((Self(hash.finalize().into()), total)),
                Ok(len) => {
                    hash.update(buffer.get(..len).unwrap_or_default());
                    total = total.saturating_add(len as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest that these bytes are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let parse = || {
            let mut bytes = [0; 32];
            let pairs = text.as_bytes().chunks_exact(2);
            if text.len() != 64 {
                return None;
            }
            for (byte, pair) in bytes.iter_mut().zip(pairs) {
                let [high, low] = pair else { return None };
                *byte = nibble(*high)? << 4 | nibble(*low)?;
            }
            Some(Self(bytes))
        };
        parse().ok_or_else(|| DigestError(text.to_owned()))
    }
}

#[cfg(feature = "author")]
impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(feature = "author")]
impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_from_its_text() {
        let digest = Digest::of(b"slipway");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let text = Digest::of(b"slipway").to_string();
        assert!(text.to_uppercase().parse::<Digest>().is_err());
        assert!(text[1..].parse::<Digest>().is_err());
        assert!(format!("{text}0").parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }
}
