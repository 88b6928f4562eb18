//! The one error of the lab: what was attempted, on what, and why it did not work.
//!
//! The variants are those that a caller tells apart; everything that is merely reported is `Io` or `Other`.

use std::io;
use std::path::Path;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something in the lab did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the host's kernel failed.
    #[error("{doing}")]
    Io {
        /// A gerund and its object.
        doing: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file or a message of ours is not what it should be.
    #[error("{doing}")]
    Json {
        /// A gerund and its object.
        doing: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// No lab has this name.
    #[error("there is no lab named {0}")]
    NoSuchLab(String),
    /// The lab's files are there, its supervisor is not.
    #[error("lab {0} is not running")]
    NotRunning(String),
    /// A supervisor for this lab runs already.
    #[error("lab {0} is running already")]
    RunningAlready(String),
    /// The lab has no machine of this name.
    #[error("lab {lab} has no machine named {machine}")]
    NoSuchMachine {
        /// The lab that was asked.
        lab: String,
        /// The name that was asked for.
        machine: String,
    },
    /// Anything else; the text is the whole story.
    #[error("{0}")]
    Other(String),
}

/// Names what was being done when a call failed.
pub trait Doing<T> {
    /// `doing` is a gerund and its object: "opening /dev/shm/x".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { doing: doing(), source: source.into() })
    }
}

/// "opening PATH" and the like, without a closure at each call.
pub(crate) fn on(verb: &'static str, path: &Path) -> impl FnOnce() -> String {
    let path = path.to_owned();
    move || format!("{verb} {}", path.display())
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_object_and_keeps_the_cause() {
        let error =
            std::fs::read("/nonexistent").doing(on("reading", Path::new("/nonexistent"))).unwrap_err();
        assert_eq!(error.to_string(), "reading /nonexistent");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("No such file"));
    }
}
