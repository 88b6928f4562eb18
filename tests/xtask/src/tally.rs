//! Counting tests from what test runners print.
//!
//! cargo's own harness and ours on booted machines end each binary with the same `test result:` line; a run that
//! printed none has run no test, and says so. A test that finds out only when it runs that it can show nothing here
//! says `SKIPPED: why` once, on a line of its own and by `stdout()` itself, since a harness swallows what `println!`
//! prints of a test that passes; the harness counts it as passed, and we as skipped.

use std::fmt;
use std::mem;
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

/// Reads a runner's output.
#[derive(Debug, Default)]
pub struct Reader {
    /// What it has counted so far.
    pub tally: Tally,
    /// Tests of the binary that runs now that have said that they are skipped.
    skipped: usize,
}

impl Reader {
    /// Reads one line; most count nothing.
    pub fn line(&mut self, line: &str) {
        if line.starts_with("SKIPPED:") {
            self.skipped += 1;
        } else if let Some(mut counts) = Tally::read(line) {
            let skipped = mem::take(&mut self.skipped).min(counts.passed);
            counts.passed -= skipped;
            counts.skipped += skipped;
            self.tally += counts;
        }
    }
}

impl Tally {
    /// The counts of a runner's closing line.
    fn read(line: &str) -> Option<Self> {
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
    fn a_test_that_says_it_is_skipped_did_not_pass_whatever_the_runner_thinks() {
        let result = |passed| format!("test result: ok. {passed} passed; 0 failed; 1 ignored; 0 measured");
        let mut reader = Reader::default();
        for line in [".....", "SKIPPED: not root, so there is nobody to be", "..", &result(8), &result(3)] {
            reader.line(line);
        }
        assert_eq!(reader.tally, Tally { passed: 10, failed: 0, skipped: 3 });
        // Said twice by the only test there is.
        ["SKIPPED: a", "SKIPPED: b", &result(1)].iter().for_each(|line| reader.line(line));
        assert_eq!(reader.tally, Tally { passed: 10, failed: 0, skipped: 5 });
    }

    #[test]
    fn the_sum_reads_as_one_line() {
        let mut sum = Tally { passed: 1, failed: 0, skipped: 0 };
        sum += Tally { passed: 2, failed: 1, skipped: 3 };
        assert_eq!(sum.to_string(), "3 passed, 1 failed, 3 skipped");
    }
}
