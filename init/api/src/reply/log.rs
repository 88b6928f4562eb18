//! One line of a log.
//!
//! Logs hold bytes; JSON holds text. What is no UTF-8 comes as U+FFFD, and nothing else is changed.

use crate::wire;

wire! {
    /// A line; a line of the stream, too.
    #[derive(Eq)]
    pub struct LogLine {
        /// Whose; `kernel` is the kernel's, `init` PID 1's own.
        pub service: String,
        /// When it was read (RFC 3339).
        pub time: String,
        /// When it was read, in milliseconds since its boot.
        pub at_ms: u64,
        /// The boot that it is of, 32 hexadecimal digits.
        pub boot: String,
        /// Its number among the service's lines.
        pub number: u64,
        /// What was said, without the end of the line.
        pub text: String,
        /// Whether it was too long, and goes on in the next one.
        #[serde(default, skip_serializing_if = "is_false")]
        pub cut: bool,
        /// Whether it goes on from the one before.
        #[serde(default, skip_serializing_if = "is_false")]
        pub continued: bool,
        /// How many lines were lost before it.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub dropped: u64,
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
