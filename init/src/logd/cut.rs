//! Where lines end: bytes from a pipe, cut into pieces that are stored as they are.
//!
//! A piece is as many whole lines as there are, or a part of a line that is too long. The
//! search goes from window to window instead of from line to line, which is what makes a
//! gigabyte per second possible; nothing is copied and nothing allocated.

use memchr::{memchr, memchr_iter, memrchr};

use super::block::{CONTINUED, CUT, LINE_MAX};

/// What is stored as one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Whole lines with their ends, or a part of one.
    pub text: &'a [u8],
    /// How many lines it is.
    pub lines: u32,
    /// [`CUT`] and [`CONTINUED`].
    pub flags: u8,
}

impl<'a> Piece<'a> {
    /// Its first `lines` lines.
    #[must_use]
    pub fn first(self, lines: u32) -> Self {
        if lines >= self.lines {
            return self;
        }
        let end = match (lines as usize).checked_sub(1) {
            None => 0,
            Some(n) => memchr_iter(b'\n', self.text).nth(n).map_or(0, |at| at + 1),
        };
        Self { text: &self.text[..end], lines, ..self }
    }
}

/// Cuts one pipe's bytes; remembers only whether it is within a line that was cut.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cutter {
    within: bool,
}

impl Cutter {
    /// Takes the next piece off the front of `bytes`; what stays is the beginning of a line, and
    /// is at most [`LINE_MAX`] long.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Piece<'a>> {
        let continued = if self.within { CONTINUED } else { 0 };
        let window = |from: usize| &bytes[from..bytes.len().min(from + LINE_MAX + 1)];
        let mut end = 0;
        if self.within {
            end = memchr(b'\n', window(0)).map_or(0, |at| at + 1);
        } else {
            while let Some(at) = memrchr(b'\n', window(end)) {
                end += at + 1;
            }
        }
        let piece = if end > 0 {
            self.within = false;
            let text = &bytes[..end];
            let lines = u32::try_from(memchr_iter(b'\n', text).count()).unwrap_or(u32::MAX);
            Piece { text, lines, flags: continued }
        } else if bytes.len() > LINE_MAX {
            self.within = true;
            Piece { text: &bytes[..LINE_MAX], lines: 1, flags: CUT | continued }
        } else {
            return None;
        };
        *bytes = &bytes[piece.text.len()..];
        Some(piece)
    }

    /// The beginning of a line whose end will not come: the pipe has ended, or we have.
    pub fn last<'a>(&mut self, rest: &'a [u8]) -> Option<Piece<'a>> {
        let flags = if self.within { CONTINUED } else { 0 };
        self.within = false;
        (!rest.is_empty()).then_some(Piece { text: rest, lines: 1, flags })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(mut bytes: &[u8]) -> Vec<(usize, u32, u8)> {
        let mut cutter = Cutter::default();
        let mut pieces = Vec::new();
        while let Some(piece) = cutter.next(&mut bytes) {
            pieces.push((piece.text.len(), piece.lines, piece.flags));
        }
        pieces.extend(cutter.last(bytes).map(|piece| (piece.text.len(), piece.lines, piece.flags)));
        pieces
    }

    #[test]
    fn whole_lines_stay_together() {
        assert_eq!(pieces(b"one\ntwo\n\nrest"), [(9, 3, 0), (4, 1, 0)]);
    }

    #[test]
    fn a_line_of_64_kib_is_cut_into_marked_parts() {
        let mut bytes = b"before\n".to_vec();
        bytes.extend(vec![b'x'; 64 * 1024]);
        bytes.extend(b"\nafter\n");
        let part = LINE_MAX;
        let expected = [
            (7, 1, 0),
            (part, 1, CUT),
            (part, 1, CUT | CONTINUED),
            (part, 1, CUT | CONTINUED),
            (part + 1, 1, CONTINUED),
            (6, 1, 0),
        ];
        assert_eq!(pieces(&bytes), expected);
    }

    #[test]
    fn a_line_of_exactly_the_longest_length_is_whole() {
        let mut bytes = vec![0; LINE_MAX];
        bytes.push(b'\n');
        assert_eq!(pieces(&bytes), [(LINE_MAX + 1, 1, 0)]);
    }

    #[test]
    fn the_first_lines_of_a_piece_are_a_piece() {
        let mut bytes = &b"a\nbb\nccc\n"[..];
        let piece = Cutter::default().next(&mut bytes).unwrap();
        assert_eq!(piece.first(2).text, b"a\nbb\n");
        assert_eq!(piece.first(0).text, b"");
        assert_eq!(piece.first(9), piece);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_line_is_longer_than_the_longest(
            lines in prop::collection::vec((0..40_000_usize, any::<u8>()), 0..6),
            step in 1..70_000_usize,
        ) {
            let written: Vec<u8> =
                lines.iter().flat_map(|(n, byte)| [vec![*byte; *n], vec![b'\n']].concat()).collect();
            let (mut cutter, mut held, mut kept) = (Cutter::default(), Vec::new(), Vec::new());
            for chunk in written.chunks(step) {
                held.extend_from_slice(chunk);
                let mut bytes = &held[..];
                while let Some(piece) = cutter.next(&mut bytes) {
                    prop_assert!(piece.text.split(|byte| *byte == b'\n').all(|line| line.len() <= LINE_MAX));
                    kept.extend_from_slice(piece.text);
                }
                prop_assert!(bytes.len() <= LINE_MAX);
                held = bytes.to_vec();
            }
            kept.extend_from_slice(&held);
            prop_assert_eq!(kept, written);
        }
    }
}
