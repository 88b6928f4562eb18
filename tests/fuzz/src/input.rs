//! Bytes as choices: a target that needs more than bytes takes them from the front, one by one.
//!
//! When there are no more, there is no more to do: so inputs shrink, and a byte that is changed
//! changes one choice.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of it.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number below `base`; 0 at the end.
    pub fn below(&mut self, base: usize) -> usize {
        usize::from(self.byte().unwrap_or(0)).checked_rem(base).unwrap_or(0)
    }

    /// Up to `most` bytes.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of eight bytes, of which large ones are as likely as small ones.
    pub fn number(&mut self) -> u64 {
        let length = self.below(9);
        self.bytes(length).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
