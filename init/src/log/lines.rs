//! Bytes from a pipe, cut into lines that may go to a console.
//!
//! A line that never ends is cut at [`LINE_MAX`]; control characters (a service may print
//! anything) become spaces, and bytes that are not UTF-8 are replaced.

/// The longest line, in bytes.
const LINE_MAX: usize = 4096;

/// The cutter, with the beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes bytes and returns the lines that they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, ends) = match piece.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (piece, false),
            };
            for part in content.chunks(LINE_MAX) {
                if self.begun.len().saturating_add(part.len()) > LINE_MAX {
                    lines.push(self.cut());
                }
                self.begun.extend_from_slice(part);
            }
            if ends {
                lines.push(self.cut());
            }
        }
        lines
    }

    /// Whatever has begun, as a line.
    pub fn finish(&mut self) -> Option<String> {
        (!self.begun.is_empty()).then(|| self.cut())
    }

    fn cut(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.begun);
        let clean = text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.begun.clear();
        clean
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_put_together_from_pieces() {
        let mut lines = Lines::default();
        assert!(lines.take(b"hel").is_empty());
        assert_eq!(lines.take(b"lo\r\nwor\x1b[1m"), ["hello"]);
        assert_eq!(lines.finish().unwrap(), "wor [1m");
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut lines = Lines::default();
        let cut = lines.take(&vec![b'x'; LINE_MAX * 2 + 5]);
        assert_eq!(cut.iter().map(String::len).collect::<Vec<_>>(), [LINE_MAX, LINE_MAX]);
        assert_eq!(lines.finish().unwrap(), "xxxxx");
    }

    proptest! {
        #[test]
        fn any_bytes_become_bounded_clean_lines(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
            let mut lines = Lines::default();
            let mut all = lines.take(&bytes);
            all.extend(lines.finish());
            for line in all {
                prop_assert!(!line.chars().any(char::is_control));
                prop_assert!(line.chars().count() <= LINE_MAX);
            }
        }
    }
}
