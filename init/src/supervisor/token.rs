//! What a ready descriptor is: the numbers that epoll carries for us.
//!
//! A kind and which one of its kind, packed into the 64 bits that the kernel hands back.
//! What follows from a ready descriptor is [`super::Supervisor`]'s.

use machine_config::service::Place;

/// A watched descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Signals to PID 1.
    Signals,
    /// What services tell.
    Notify,
    /// A process of ours wants to connect.
    Control,
    /// The client in this seat asks something, or is gone.
    Client(usize),
    /// A key was pressed on the n-th input device.
    Key(usize),
    /// A service printed something while nobody else reads.
    Output(Place),
    /// A service's control group became empty, or not, or one of it was killed for memory.
    Group(Place),
    /// A service's new process executed its program, or could not.
    Execution(Place),
    /// A service wrote to its descriptor for readiness.
    Readiness(Place),
    /// PID 1 itself said something while nobody else reads.
    Log,
    /// The wall clock was set.
    Clock,
    /// The CPU is short.
    Pressure,
}

/// The kinds' numbers, in the upper half; the lower is which one of its kind.
const KINDS: u64 = 1 << 32;

impl Token {
    /// Whether somebody asks PID 1 something, or may be about to.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        matches!(self, Token::Control | Token::Client(_))
    }

    /// As epoll carries it.
    #[must_use]
    pub fn to_raw(self) -> u64 {
        let (kind, which) = match self {
            Token::Signals => (0, 0),
            Token::Notify => (1, 0),
            Token::Control => (2, 0),
            Token::Client(which) => (3, which),
            Token::Key(which) => (4, which),
            Token::Output(place) => (5, place.index()),
            Token::Group(place) => (6, place.index()),
            Token::Execution(place) => (7, place.index()),
            Token::Readiness(place) => (8, place.index()),
            Token::Log => (9, 0),
            Token::Clock => (10, 0),
            Token::Pressure => (11, 0),
        };
        KINDS.saturating_mul(kind) | (which as u64 & (KINDS - 1))
    }

    /// From what epoll carried.
    #[must_use]
    pub fn from_raw(raw: u64) -> Option<Self> {
        let which = usize::try_from(raw & (KINDS - 1)).ok()?;
        let place = || u16::try_from(which).ok().map(Place);
        match raw >> 32 {
            0 => Some(Token::Signals),
            1 => Some(Token::Notify),
            2 => Some(Token::Control),
            3 => Some(Token::Client(which)),
            4 => Some(Token::Key(which)),
            5 => place().map(Token::Output),
            6 => place().map(Token::Group),
            7 => place().map(Token::Execution),
            8 => place().map(Token::Readiness),
            9 => Some(Token::Log),
            10 => Some(Token::Clock),
            11 => Some(Token::Pressure),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        let place = Place(17);
        for token in [
            Token::Signals,
            Token::Notify,
            Token::Control,
            Token::Client(9),
            Token::Key(3),
            Token::Output(place),
            Token::Group(place),
            Token::Execution(place),
            Token::Readiness(place),
            Token::Log,
            Token::Clock,
            Token::Pressure,
        ] {
            assert_eq!(Token::from_raw(token.to_raw()), Some(token));
        }
        assert_eq!(Token::from_raw(u64::MAX), None);
    }
}
