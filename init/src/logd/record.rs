//! A line as readers get it, and how it is shown.
//!
//! Storage keeps every byte that a service wrote. What could harm a terminal or a parser is
//! made harmless here, at the moment of showing, and nowhere else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which boot: the kernel's own random id of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Reads 32 hexadecimal digits, with or without dashes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b'-').collect();
        let mut id = [0; 16];
        if digits.len() != 32 {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is special about a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// It was too long and goes on in the next line.
    pub cut: bool,
    /// It is the rest, or a part, of the line before.
    pub continued: bool,
    /// So many lines of the service were dropped here; the text is ours and says why.
    pub dropped: u64,
    /// Syslog's facility and severity, if the sender said (the kernel does); otherwise 0.
    pub priority: u8,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Whose: a service's name, `init` or `kernel`.
    pub service: String,
    /// When it was read, in microseconds since 1970.
    pub realtime_us: u64,
    /// When it was read, in milliseconds since boot.
    pub monotonic_ms: u64,
    /// In which boot.
    pub boot: BootId,
    /// Counts the service's lines in this boot, without gaps.
    pub number: u64,
    /// What it says, byte by byte, without its end.
    pub text: Vec<u8>,
    /// What is special about it.
    pub flags: Flags,
}

impl Line {
    /// Its text for people: one line of UTF-8 without control characters.
    #[must_use]
    pub fn shown(&self) -> String {
        harmless(&self.text)
    }
}

/// `bytes` as one line of UTF-8: what is not UTF-8 is replaced, control characters are escaped.
#[must_use]
pub fn harmless(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for c in String::from_utf8_lossy(bytes).trim_end_matches(['\r', '\n']).chars() {
        match c {
            '\t' => shown.push(' '),
            // Direction marks can make one line look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.extend(c.escape_unicode()),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_boot_id_is_read_as_the_kernel_writes_it() {
        let id = BootId::parse("01020304-0506-0708-090a-0b0c0d0e0fff\n").unwrap();
        assert_eq!(id.to_string(), "0102030405060708090a0b0c0d0e0fff");
        assert_eq!(BootId::parse(&id.to_string()), Some(id));
        assert_eq!(BootId::parse("01"), None);
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        assert_eq!(harmless(b"\x1b[31mred\0\xff\ttab\r"), "\\u{1b}[31mred\\u{0}\u{fffd} tab");
    }

    proptest! {
        #[test]
        fn whatever_was_written_is_shown_without_control_characters(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(!harmless(&bytes).chars().any(char::is_control));
        }
    }
}
