//! The last lines of a service, with when they came.
//!
//! Bounded by bytes: a new line pushes out as many old ones as it needs room.

use std::collections::VecDeque;

use crate::monotonic::Monotonic;

/// Bytes of text that are kept of each service.
const CAPACITY: usize = 256 * 1024;

/// A service's last lines.
#[derive(Debug, Default)]
pub struct Ring {
    lines: VecDeque<(Monotonic, String)>,
    bytes: usize,
    dropped: u64,
}

impl Ring {
    /// Keeps a line.
    pub fn push(&mut self, at: Monotonic, line: String) {
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push_back((at, line));
        while self.bytes > CAPACITY {
            let Some((_, oldest)) = self.lines.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.len());
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The lines that came after `since`, at most the last `most` of them, oldest first.
    pub fn tail(&self, since: Monotonic, most: usize) -> impl Iterator<Item = &str> {
        let skip = self.lines.len().saturating_sub(most);
        self.lines.iter().skip(skip).filter(move |(at, _)| *at >= since).map(|(_, line)| line.as_str())
    }

    /// How many lines were pushed out.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_make_room() {
        let mut ring = Ring::default();
        for n in 0..300 {
            ring.push(Monotonic::from_millis(n), format!("{n} {}", "x".repeat(1020)));
        }
        assert!(ring.bytes <= CAPACITY);
        assert!(ring.dropped() > 40);
        let last: Vec<&str> = ring.tail(Monotonic::from_millis(0), 2).collect();
        assert!(last[0].starts_with("298 ") && last[1].starts_with("299 "));
        assert_eq!(ring.tail(Monotonic::from_millis(299), 10).count(), 1);
    }
}
