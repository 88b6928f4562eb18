//! What PID 1 says to logd: marked lines in its own pipe, in order with everything else it prints.
//!
//! So a word that was said while logd was away is heard by the next one. What logd makes of a
//! word is `task`'s.

use std::fmt;

/// How PID 1 marks a line that is for logd.
pub const MARK: u8 = 0x1e;

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A service has failed: its last lines are worth keeping apart.
    Failed {
        /// Which.
        service: String,
        /// When it had been started, in milliseconds since boot.
        started: u64,
    },
    /// The machine is up: nobody at the console wants every line any more.
    Up,
}

impl Word {
    /// Reads a line without its end; none if it is not for logd.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let words = std::str::from_utf8(line.strip_prefix(&[MARK])?).ok()?;
        let mut words = words.split_whitespace();
        let word = match (words.next()?, words.next(), words.next()) {
            ("up", None, None) => Word::Up,
            ("failed", Some(service), Some(started)) => {
                Word::Failed { service: service.to_owned(), started: started.parse().ok()? }
            }
            _ => return None,
        };
        words.next().is_none().then_some(word)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = char::from(MARK);
        match self {
            Word::Failed { service, started } => write!(f, "{mark}failed {service} {started}"),
            Word::Up => write!(f, "{mark}up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_heard_as_it_was_said() {
        for word in [Word::Up, Word::Failed { service: "etcd".to_owned(), started: 17 }] {
            assert_eq!(Word::parse(word.to_string().as_bytes()), Some(word));
        }
    }

    #[test]
    fn only_a_marked_line_is_a_word() {
        for line in
            [&b"up"[..], b"failed etcd 17", b"\x1eup now", b"\x1efailed etcd", b"\x1efailed etcd x", b"\x1e"]
        {
            assert_eq!(Word::parse(line), None, "{}", line.escape_ascii());
        }
    }
}
