//! Texts from others, as they may stand in a line of ours.
//!
//! Whoever wrote them may have written anything: what is shown is one line, bounded, and no
//! terminal obeys it. What is stored is stored as it came; that is `logd`'s.

/// The first `most` characters of `text`, control characters as spaces.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_no_longer_than_asked() {
        assert_eq!(one_line("a\nb\x1b[1mc", 100), "a b [1mc");
        assert_eq!(one_line("äöü", 2), "äö");
    }
}
