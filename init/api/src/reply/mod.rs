//! What a machine answers.
//!
//! A file per subject. New fields may come at any time, so a client ignores what it does not know; a field that is
//! there stays, and means what it meant. Moments are milliseconds since boot (`…_ms`) or RFC 3339 texts, amounts are
//! bytes (`…_bytes`).

mod boot;
mod config;
mod error;
mod event;
mod host;
mod log;
mod machine;
mod network;
mod service;

pub use boot::{Boot, BootMark, ServiceBoot};
pub use config::Config;
pub use error::{ErrorCode, ErrorReply};
pub use event::Event;
pub use host::{Disk, Disks, Mount, Mounts, Partition, Process, Processes};
pub use log::LogLine;
pub use machine::{Alarm, Memory, Pressure, Stage, Status, Version};
pub use network::{Lease, Link, Network, Route};
pub use service::{Accepted, Explanation, Service, Services, Stamps, State, Usage};
