//! What services tell: sd_notify's messages, as far as they mean something here.
//!
//! Bytes in, notices out. Whether the sender may speak for a service is decided by whoever
//! received them; unknown lines are for other supervisors and are skipped.

use std::time::Duration;

use crate::text::one_line;

/// The longest status that is kept, in characters: a console line, not a report.
const STATUS_MAX: usize = 1000;

/// One thing a service told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// `READY=1`.
    Ready,
    /// `RELOADING=1`.
    Reloading,
    /// `WATCHDOG=1`.
    Alive,
    /// `EXTEND_TIMEOUT_USEC=…`.
    Extend(Duration),
    /// `STATUS=problem: …`: something that somebody must do something about.
    Problem(String),
    /// Any other `STATUS=…`.
    Status(String),
}

/// The notices in a message.
#[must_use]
pub fn read(message: &str) -> Vec<Notice> {
    message.lines().filter_map(notice).collect()
}

fn notice(line: &str) -> Option<Notice> {
    match line.split_once('=')? {
        ("READY", "1") => Some(Notice::Ready),
        ("RELOADING", "1") => Some(Notice::Reloading),
        ("WATCHDOG", "1") => Some(Notice::Alive),
        ("EXTEND_TIMEOUT_USEC", time) => Some(Notice::Extend(Duration::from_micros(time.parse().ok()?))),
        ("STATUS", status) => {
            let status = one_line(status, STATUS_MAX);
            let status = status.trim();
            Some(match status.strip_prefix("problem:") {
                Some(problem) => Notice::Problem(problem.trim().to_owned()),
                None => Notice::Status(status.to_owned()),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_may_say_several_things() {
        let notices = read("STATUS=is w1\nMAINPID=7\nREADY=1\nSTATUS=problem: no config\n");
        let expected =
            [Notice::Status("is w1".to_owned()), Notice::Ready, Notice::Problem("no config".to_owned())];
        assert_eq!(notices, expected);
    }

    #[test]
    fn only_ready_1_is_ready() {
        for other in ["READY=0", "READY", "READY=11", "ready=1", "XREADY=1"] {
            assert!(read(other).is_empty(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_message_puts_control_characters_on_the_console(text in "STATUS=\\PC*[\\x00-\\x1f]*\\PC*") {
            for notice in read(&text) {
                let (Notice::Status(said) | Notice::Problem(said)) = notice else { continue };
                prop_assert!(!said.chars().any(char::is_control));
            }
        }
    }
}
