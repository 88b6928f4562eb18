//! What is wrong with a cluster description, each complaint with its line and column.
//!
//! All of them are told at once, in the order of the file: who has to mend five lines wants to
//! know of five. What is complained about is `checks`'; here is only how.

use std::fmt;
use std::ops::Range;

/// Everything that is wrong with a plan, each with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    issues: Vec<Issue>,
}

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl PlanError {
    /// The parser's own complaint.
    pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        Self { issues: vec![place(text, at, error.message().to_owned())] }
    }

    /// The complaints, in the order of the file.
    #[must_use]
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, issue) in self.issues.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "line {}, column {}: {}", issue.line, issue.column, issue.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanError {}

/// Collects complaints against places in `text`.
pub(super) struct Complaints<'a> {
    text: &'a str,
    found: Vec<(usize, String)>,
}

impl<'a> Complaints<'a> {
    /// None yet.
    pub(super) fn about(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Range<usize>, message: String) {
        self.found.push((at.start, message));
    }

    pub(super) fn finish(mut self) -> Result<(), PlanError> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort();
        let issues = self.found.into_iter().map(|(at, message)| place(self.text, at, message)).collect();
        Err(PlanError { issues })
    }
}

fn place(text: &str, at: usize, message: String) -> Issue {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Issue { line, column, message }
}
