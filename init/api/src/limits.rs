//! How much a client may ask for, and how long it may take over it.
//!
//! The server enforces these, a well-made client stays within them. Each has its unit in its name. One client that
//! uses all that is its due leaves room for others: a machine has a handful of operators and one Prometheus.

use std::time::Duration;

/// Connections at a time, from everybody. Each costs a session's buffers (some 40 KiB); 128 stay below 6 MiB.
pub const CONNECTIONS_MAX: usize = 128;
/// Connections at a time from one address: a load balancer in between is many clients, an attacker is one.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 32;
/// Connections at a time that have not shown a certificate yet, from everybody; the oldest goes for the next one.
pub const STRANGERS_MAX: usize = 64;
/// Those of one address.
pub const STRANGERS_PER_ADDRESS_MAX: usize = 24;
/// Requests at a time on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 16;
/// Logs and events that are read at a time, by everybody; with `follow` until the client ends it.
pub const FOLLOWERS_MAX: usize = 32;
/// By one client, which is its certificate's name: four people with a dashboard each, or eight who follow one log.
pub const FOLLOWERS_PER_CLIENT_MAX: usize = 8;
/// All headers of a request.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The longest path with its query.
pub const PATH_BYTES_MAX: usize = 4 * 1024;
/// The longest body; every request that has one is a few words.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// The longest answer that a client reads as one document.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest line of a stream.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;
/// From the first byte of a connection to the end of its TLS handshake.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// From the beginning of a request to the end of its headers.
pub const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// From the end of its headers to the end of its body.
pub const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Until an answer begins.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may move no byte, either way, before it is cut: Prometheus comes back every 15 to 60 s.
pub const STALLED_WITHIN: Duration = Duration::from_secs(75);
/// How often a stream that has nothing to say sends an empty line.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(20);
/// The oldest that a connection gets; a client that follows connects anew and goes on where it was.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(12 * 3600);
