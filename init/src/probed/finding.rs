//! What an attempt's outcome says about a service, and when it says nothing.
//!
//! Whoever does not answer, or answers no, is not ready. But a machine that has no descriptor
//! or no memory left, or a probe that lacks its own certificate, has not asked at all: that
//! must not be held against the service (reference/supervisors.md 2, pitfall 37).

use std::io;

use crate::control::message::Finding;
use crate::probe::No;

/// What `outcome` says about the service.
pub(super) fn of(outcome: &Result<(), No>) -> Finding {
    match outcome {
        Ok(()) => Finding::Good,
        // Its files, or its own certificate; what the other end shows or refuses is an error of the conversation.
        Err(No::Tls(_)) => Finding::CouldNotAsk,
        Err(No::Io { source, .. }) if is_ours(source) => Finding::CouldNotAsk,
        Err(_) => Finding::Bad,
    }
}

/// Errors of the machine that asks, not of the service that is asked.
fn is_ours(error: &io::Error) -> bool {
    // EMFILE and ENFILE have no kind of their own.
    matches!(error.raw_os_error(), Some(23 | 24)) || error.kind() == io::ErrorKind::OutOfMemory
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(errno: i32) -> Result<(), No> {
        Err(No::Io {
            doing: "connecting to",
            target: "x".to_owned(),
            source: io::Error::from_raw_os_error(errno),
        })
    }

    #[test]
    fn a_refusal_is_a_no_and_an_empty_machine_has_not_asked() {
        let (refused, too_many_files, no_memory) = (111, 24, 12);
        assert_eq!(of(&Ok(())), Finding::Good);
        assert_eq!(of(&io(refused)), Finding::Bad);
        assert_eq!(of(&io(too_many_files)), Finding::CouldNotAsk);
        assert_eq!(of(&io(no_memory)), Finding::CouldNotAsk);
        let answer = No::Answer { target: "x".to_owned(), answer: "HTTP/1.1 503".to_owned() };
        assert_eq!(of(&Err(answer)), Finding::Bad);
    }
}
