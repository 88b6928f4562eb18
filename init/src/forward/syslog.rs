//! A line as a syslog message: RFC 5424, counted octets (RFC 6587), nothing else.
//!
//! The text is UTF-8 without control characters, as it is shown to people.

use std::io::Write;

use jiff::Timestamp;

use crate::logd::KERNEL;
use crate::logd::record::Line;

/// Facility daemon, severity informational: what a service says without saying how grave it is.
const DAEMON_INFO: u8 = 30;
/// Facility daemon, severity warning: lines were dropped.
const DAEMON_WARNING: u8 = 28;
/// The largest `sequenceId` (RFC 5424, 7.3.1).
const SEQUENCE_MAX: u64 = 2_147_483_647;

/// Appends `line` of `host` to `out`, with its length before it.
pub(super) fn append(out: &mut Vec<u8>, host: &str, line: &Line) {
    let priority = match line.flags.priority {
        _ if line.flags.dropped > 0 => DAEMON_WARNING,
        0 if line.service != KERNEL => DAEMON_INFO,
        said => said,
    };
    // A time that is none (a clock before 1970) is left out, as the RFC has it.
    let time =
        i64::try_from(line.realtime_us).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let time = time.map_or_else(|| "-".to_owned(), |time| format!("{time:.6}"));
    let sequence = line.number % SEQUENCE_MAX + 1;
    let service = &line.service;
    let text = line.shown();
    let message =
        format!("<{priority}>1 {time} {host} {service} - - [meta sequenceId=\"{sequence}\"] {text}");
    // Writing to memory does not fail.
    let _ = write!(out, "{} {message}", message.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logd::record::{BootId, Flags};

    fn line(service: &str, text: &[u8], priority: u8) -> Line {
        Line {
            service: service.to_owned(),
            realtime_us: 1_795_287_600_123_456,
            monotonic_ms: 5,
            boot: BootId::default(),
            number: 41,
            text: text.to_vec(),
            flags: Flags { priority, ..Flags::default() },
        }
    }

    fn sent(line: &Line) -> String {
        let mut out = Vec::new();
        append(&mut out, "cp1", line);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_one_counted_message() {
        let message = "<30>1 2026-11-21T19:00:00.123456Z cp1 etcd - - [meta sequenceId=\"42\"] ready";
        assert_eq!(sent(&line("etcd", b"ready", 0)), format!("{} {message}", message.len()));
    }

    #[test]
    fn the_kernels_severity_is_kept_and_no_text_ends_a_message() {
        let sent = sent(&line("kernel", b"a\nb\0\xff", 0));
        assert!(sent.contains("<0>1 "), "{sent}");
        assert!(sent.ends_with("a\\nb\\u{0}\u{fffd}"), "{sent}");
        let (length, message) = sent.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
    }
}
