//! Counting tests from what test runners print.
//!
//! cargo's own harness and ours on booted machines end each binary with the same
//! `test result:` line; a run that printed none has run no test, and says so.

use std::fmt;
use std::ops::AddAssign;

use anyhow::{Result, bail};

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that held.
    pub passed: usize,
    /// Those that did not.
    pub failed: usize,
    /// Those left out, with a reason printed where they were.
    pub skipped: usize,
}

impl Tally {
    /// Reads one line of a runner's output; other lines count nothing.
    pub fn read(line: &str) -> Option<Self> {
        let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |word: &str| {
            counts.split(';').find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<usize>().ok())
        };
        Some(Self { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
    }

    /// What a task of its own ends with.
    ///
    /// # Errors
    /// Anything failed.
    pub fn verdict(self) -> Result<()> {
        println!("{self}");
        if self.failed > 0 {
            bail!("{} failed", self.failed);
        }
        Ok(())
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runners_closing_line_is_counted() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Tally::read(line), Some(Tally { passed: 12, failed: 1, skipped: 2 }));
        assert_eq!(Tally::read("running 12 tests"), None);
    }

    #[test]
    fn the_sum_reads_as_one_line() {
        let mut sum = Tally { passed: 1, failed: 0, skipped: 0 };
        sum += Tally { passed: 2, failed: 1, skipped: 3 };
        assert_eq!(sum.to_string(), "3 passed, 1 failed, 3 skipped");
    }
}
