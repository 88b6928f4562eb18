//! What a machine is told to be, and what its services are.
//!
//! `machine` is the payload of the signed machine config, `service` the spec of a
//! supervised service, `admission` the decision whether a verified config may be
//! used here. Types and pure functions: nothing in this crate does I/O, and no
//! signature is checked here (that is the `trust` crate's job, done before parsing).

pub mod admission;
pub mod machine;
pub mod name;
pub mod pem;
pub mod redact;
pub mod service;
pub mod span;

pub use admission::{Refusal, admit};
pub use machine::{MachineConfig, PlainConfig};
pub use name::{ClusterName, MachineName, Role, ServiceName};
pub use span::Span;
