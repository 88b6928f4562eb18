//! A span of time in a spec: `"250ms"`, `"10s"`, `"2min"` in text, milliseconds in a table.
//!
//! Never negative and at most 49 days, so that adding one to a moment cannot overflow.
//! The text's grammar is jiff's; a bare number is refused, since it says no unit.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u32);

impl Span {
    /// `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis)
    }

    /// `seconds` seconds.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// As the standard library's.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", SignedDuration::from_millis(i64::from(self.0)))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u32(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u32::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let span: SignedDuration = text
            .parse()
            .map_err(|error| D::Error::custom(format!("{text:?} is no span of time: {error}")))?;
        u32::try_from(span.as_millis())
            .map(Self)
            .map_err(|_| D::Error::custom(format!("{text:?} is out of range: from nothing to 49 days")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        wait: Span,
    }

    fn read(text: &str) -> Result<Span, toml::de::Error> {
        toml::from_str::<Holder>(&format!("wait = {text}")).map(|holder| holder.wait)
    }

    #[test]
    fn a_span_is_a_number_with_its_unit() {
        assert_eq!(read("\"250ms\"").unwrap(), Span::from_millis(250));
        assert_eq!(read("\"10s\"").unwrap(), Span::from_secs(10));
        assert_eq!(read("\"2m 30s\"").unwrap(), Span::from_secs(150));
    }

    #[test]
    fn no_unit_a_negative_one_and_one_of_months_are_refused() {
        for text in ["10", "\"10\"", "\"-1s\"", "\"2000h\""] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for span in [Span::from_millis(1), Span::from_secs(90), Span::from_secs(86400), Span::from_millis(0)]
        {
            let text = toml::to_string(&Holder { wait: span }).unwrap();
            assert_eq!(toml::from_str::<Holder>(&text).unwrap().wait, span, "{text}");
        }
    }
}
