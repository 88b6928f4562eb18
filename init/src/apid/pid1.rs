//! Whom apid asks about services: PID 1, over its control socket.
//!
//! A trait of one call, so that tests have a PID 1 of their own. The call blocks; `answer` makes it from a thread that
//! may wait.

use std::path::{Path, PathBuf};

use crate::control::client::{self, ControlError};
use crate::control::message::{Answer, Request};

/// Whom apid asks about services.
pub trait Pid1: Send + Sync + 'static {
    /// Asks; a refusal is an answer.
    ///
    /// # Errors
    /// PID 1 cannot be asked, or says nothing.
    fn ask(&self, request: &Request) -> Result<Answer, ControlError>;
}

/// PID 1 at its socket.
#[derive(Debug)]
pub struct Socket(PathBuf);

impl Socket {
    /// Nothing is connected before there is a question.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Pid1 for Socket {
    fn ask(&self, request: &Request) -> Result<Answer, ControlError> {
        client::ask(&self.0, request)
    }
}
