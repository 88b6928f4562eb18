//! What services tell PID 1: sd_notify messages, as they come from the socket.
//!
//! No notice has more than a line of bounded text in it, none comes from nothing, and a message
//! read line by line says the same as a whole.

use init::service::notice::{self, Notice};

/// The longest status that PID 1 keeps, in characters.
const STATUS_MAX: usize = 1000;

pub(super) fn run(input: &[u8]) {
    // As node-sys reads it from the socket.
    let message = String::from_utf8_lossy(input);
    let notices = notice::read(&message);
    assert!(notices.len() <= message.lines().count());
    for notice in &notices {
        if let Notice::Status(text) | Notice::Problem(text) = notice {
            assert!(text.chars().count() <= STATUS_MAX);
            assert!(!text.chars().any(char::is_control));
        }
    }
    let one_by_one: Vec<Notice> = message.lines().flat_map(notice::read).collect();
    assert_eq!(one_by_one, notices);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    [
        "READY=1",
        "READY=1\nSTATUS=serving 3 members\nMAINPID=7\n",
        "STATUS=problem: no config\nWATCHDOG=1",
        "RELOADING=1\nMONOTONIC_USEC=12",
        "EXTEND_TIMEOUT_USEC=5000000",
        "STATUS=\u{1b}[31m\u{202e}\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
