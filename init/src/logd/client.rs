//! Reading lines from logd: for apid, the forwarder and tests. Blocking.
//!
//! A reader that is slow is waited for by nobody but its own thread in logd; what it was too slow for
//! comes as [`Reply::Missed`].

use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::query::{self, ANSWER_MAX, Counters, Query, Reply, Wanted};

/// Counters of all services are the longest answer there is.
const COUNTERS_MAX: usize = 1024 * 1024;

/// The answers to a question, as they come.
#[derive(Debug)]
pub struct Answers(BufReader<UnixStream>);

/// Asks for lines.
///
/// # Errors
/// When logd is not there.
pub fn lines(socket: &Path, wanted: Wanted) -> io::Result<Answers> {
    ask(socket, &Query::Lines(wanted))
}

/// Asks for the counters of all services.
///
/// # Errors
/// When logd is not there or does not answer.
pub fn counters(socket: &Path) -> io::Result<Vec<Counters>> {
    match ask(socket, &Query::Counters)?.next() {
        Some(Ok(Reply::Counters(counters))) => Ok(counters),
        Some(Ok(Reply::Refused(why))) => Err(io::Error::other(why)),
        Some(Ok(_)) => Err(io::ErrorKind::InvalidData.into()),
        Some(Err(error)) => Err(error),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn ask(socket: &Path, query: &Query) -> io::Result<Answers> {
    let mut stream = UnixStream::connect(socket)?;
    query::send(&mut stream, query)?;
    Ok(Answers(BufReader::new(stream)))
}

impl Answers {
    /// Whether something of the next answer is here already.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.0.buffer().is_empty()
    }

    /// Waits for something of the next answer, at most `time`; false if nothing came. Also true at the end.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn wait(&mut self, time: Duration) -> io::Result<bool> {
        if self.has_more() {
            return Ok(true);
        }
        self.0.get_ref().set_read_timeout(Some(time))?;
        let came = match self.0.fill_buf() {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        };
        self.0.get_ref().set_read_timeout(None)?;
        came
    }

    /// The connection, to end it from another thread by shutting it down.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn connection(&self) -> io::Result<UnixStream> {
        self.0.get_ref().try_clone()
    }
}

impl Iterator for Answers {
    type Item = io::Result<Reply>;

    fn next(&mut self) -> Option<Self::Item> {
        query::receive(&mut self.0, COUNTERS_MAX.max(ANSWER_MAX)).transpose()
    }
}
