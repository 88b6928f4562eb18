//! Ethernet addresses as a type: parsed once, printed one way.
//!
//! The switch compares them by the million and configs carry them as text; a string or six loose bytes
//! never crosses a module border.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every card on the segment.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Whether this stands for several cards (broadcast included).
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

/// Text that is not an Ethernet address.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an Ethernet address like 52:54:00:4d:00:01")]
pub struct NotAMac(String);

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let refuse = || NotAMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or_else(refuse)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        if parts.next().is_some() { Err(refuse()) } else { Ok(Mac(bytes)) }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_printed() {
        let mac: Mac = "52:54:00:4d:00:0a".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:4d:00:0a");
    }

    #[test]
    fn anything_but_six_pairs_of_hex_digits_is_refused() {
        for text in [
            "",
            "52:54:00:4d:00",
            "52:54:00:4d:00:01:02",
            "52:54:00:4d:00:+1",
            "5:54:00:4d:00:01",
            "zz:54:00:4d:00:01",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
