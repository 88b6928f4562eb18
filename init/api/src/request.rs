//! What comes with a request: the queries of streams, and the bodies of what does something.
//!
//! Nothing here has more than a few words, and an unknown field is refused: a mistyped `cascade` must not stop a
//! service in another way than was meant. Queries travel in the URL, bodies as JSON.

use crate::wire;

wire! {
    /// Which log lines are wanted: those that fit everything that is said.
    #[derive(Default, Eq)]
    #[serde(deny_unknown_fields, default)]
    pub struct LogQuery {
        /// Whose; `kernel` and `init` are services, too. Everybody's without it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub service: Option<String>,
        /// From this moment on (RFC 3339).
        #[serde(skip_serializing_if = "Option::is_none")]
        pub since: Option<String>,
        /// Of this boot: its id as lines show it, `current`, or how many boots ago. Of all that are kept without it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub boot: Option<String>,
        /// With this text in them.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub grep: Option<String>,
        /// Only those that were set apart when the service failed; they need a service.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub failure: Option<Failure>,
        /// Only the last so many of those that are there.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tail: Option<u64>,
        /// Whether to go on with those that come.
        #[serde(skip_serializing_if = "is_false")]
        pub follow: bool,
    }

    /// Which of a service's failures.
    #[derive(Copy, Eq)]
    pub enum Failure {
        /// The first since boot.
        First,
        /// The latest.
        Latest,
    }

    /// Which events are wanted.
    #[derive(Default, Eq)]
    #[serde(deny_unknown_fields, default)]
    pub struct EventQuery {
        /// From this number on; from the oldest that is kept without it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub since: Option<u64>,
        /// Of this service only.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub service: Option<String>,
        /// Whether to go on with those that come.
        #[serde(skip_serializing_if = "is_false")]
        pub follow: bool,
    }

    /// How a service is stopped or restarted.
    #[derive(Default, Eq)]
    #[serde(deny_unknown_fields, default)]
    pub struct StopRequest {
        /// Whether services that would lose it are stopped, too; it is refused while there are any otherwise.
        pub cascade: bool,
    }

    /// Which signal is sent.
    #[derive(Eq)]
    #[serde(deny_unknown_fields)]
    pub struct SignalRequest {
        /// It; the service's spec must allow it.
        pub signal: Signal,
    }

    /// A signal.
    #[derive(Copy, Eq)]
    #[allow(missing_docs, reason = "named by signal(7)")]
    pub enum Signal { Term, Int, Hup, Quit, Usr1, Usr2, Kill }

    /// How a machine ends.
    #[derive(Default, Eq)]
    #[serde(deny_unknown_fields, default)]
    pub struct EndRequest {
        /// Why, for the record.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
        /// Whether services have no more time to stop, not even if they are stopping already. Without it a request
        /// that is repeated changes nothing.
        #[serde(skip_serializing_if = "is_false")]
        pub now: bool,
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Term, Self::Int, Self::Hup, Self::Quit, Self::Usr1, Self::Usr2, Self::Kill];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Term => "term",
            Self::Int => "int",
            Self::Hup => "hup",
            Self::Quit => "quit",
            Self::Usr1 => "usr1",
            Self::Usr2 => "usr2",
            Self::Kill => "kill",
        }
    }
}
