//! Whom apid asks for logs.
//!
//! A trait as narrow as a reader needs, so that tests have logs of their own. Reading blocks, but never longer than a
//! second: a follower whose client is gone is noticed by then.

use node_api::reply::LogLine;
use node_api::request::LogQuery;

/// Whom apid asks for logs.
pub trait Logs: Send + Sync + 'static {
    /// Begins to read.
    ///
    /// # Errors
    /// In words: nobody to ask, or not such a question.
    fn open(&self, query: &LogQuery) -> Result<Box<dyn LogReader>, String>;

    /// What was kept and what was lost, by service.
    ///
    /// # Errors
    /// In words: nobody to ask.
    fn counters(&self) -> Result<Vec<Counters>, String>;
}

/// A service's lines since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Whose.
    pub service: String,
    /// Kept.
    pub lines: u64,
    /// Lost, by why.
    pub dropped: Vec<(&'static str, u64)>,
}

/// Reads what a query found.
pub trait LogReader: Send {
    /// Goes on reading.
    ///
    /// # Errors
    /// In words: the reading broke off.
    fn next(&mut self) -> Result<Next, String>;
}

/// What a reader got.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// A line.
    Line(LogLine),
    /// None within a second, or all for now.
    Nothing,
    /// There are no more.
    End,
}
