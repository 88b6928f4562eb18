//! What a ready descriptor is: the numbers that epoll carries for us.
//!
//! A kind and which one of its kind, packed into the 64 bits that the kernel hands back.
//! What follows from a ready descriptor is [`super::Supervisor`]'s.

use crate::service::set::Id;

/// A watched descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Signals to PID 1.
    Signals,
    /// What services tell.
    Notify,
    /// A key was pressed on the n-th input device.
    Key(usize),
    /// A service printed something.
    Output(Id),
    /// A service's control group became empty, or not.
    Group(Id),
}

/// The kinds' numbers, in the upper half; the lower is which one of its kind.
const KINDS: u64 = 1 << 32;

impl Token {
    /// As epoll carries it.
    #[must_use]
    pub fn to_raw(self) -> u64 {
        let (kind, which) = match self {
            Token::Signals => (0, 0),
            Token::Notify => (1, 0),
            Token::Key(which) => (2, which),
            Token::Output(id) => (3, id.index()),
            Token::Group(id) => (4, id.index()),
        };
        KINDS.saturating_mul(kind) | (which as u64 & (KINDS - 1))
    }

    /// From what epoll carried.
    #[must_use]
    pub fn from_raw(raw: u64) -> Option<Self> {
        let which = usize::try_from(raw & (KINDS - 1)).ok()?;
        match raw >> 32 {
            0 => Some(Token::Signals),
            1 => Some(Token::Notify),
            2 => Some(Token::Key(which)),
            3 => Some(Token::Output(Id::from_index(which))),
            4 => Some(Token::Group(Id::from_index(which))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        let id = Id::from_index(17);
        for token in [Token::Signals, Token::Notify, Token::Key(3), Token::Output(id), Token::Group(id)] {
            assert_eq!(Token::from_raw(token.to_raw()), Some(token));
        }
        assert_eq!(Token::from_raw(u64::MAX), None);
    }
}
