//! Whom apid asks for logs.
//!
//! A trait as narrow as a reader needs, so that tests have logs of their own. Reading blocks, but never longer than a
//! second: a follower whose client is gone is noticed by then.

use std::sync::Arc;

use node_api::reply::LogLine;
use node_api::request::LogQuery;

/// Whom apid asks for logs.
pub trait Logs: Send + Sync + 'static {
    /// Begins to read.
    ///
    /// # Errors
    /// In words: nobody to ask, or not such a question.
    fn open(&self, query: &LogQuery) -> Result<Box<dyn LogReader>, String>;
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

/// The machine's logs.
#[must_use]
pub fn source() -> Arc<dyn Logs> {
    Arc::new(Nobody)
}

/// Nobody keeps logs.
#[derive(Debug)]
struct Nobody;

impl Logs for Nobody {
    fn open(&self, _query: &LogQuery) -> Result<Box<dyn LogReader>, String> {
        Err("this image keeps no logs: they are on the machine's console".to_owned())
    }
}
