//! `init logd`: what services, PID 1 and the kernel say, stored and given to readers.
//!
//! Intake (`task`) reads the pipes and stores lines in memory; it waits for nobody. The `keeper` copies
//! them to disk. A reader's thread (`serve`) walks through both. They share files and a `board` of counters,
//! so a disk or a reader that hangs stops nothing but itself. Storage: `block` is the format, `segment` a
//! file of blocks, `ring` those in memory, `disk` those on disk, `failure` what is set apart.
//! Intake: `source`, `word`, `cut`, `limit`, `shelf`, `intake`, `kernel`; `echo` shows lines at the console. Readers: `query` and `record` are the
//! words, `walk` and `answer` the search, `client` the other end.

pub mod answer;
pub mod block;
pub mod board;
pub mod boots;
pub mod client;
pub mod cut;
pub mod disk;
pub mod failure;
pub mod kernel;
pub mod limit;
pub mod query;
pub mod record;
pub mod ring;
pub mod segment;
pub mod walk;
pub mod word;

mod arguments;
mod echo;
mod intake;
mod keeper;
mod serve;
mod shelf;
mod source;
mod task;

pub use task::main;

/// The service name of the kernel's own lines.
pub const KERNEL: &str = "kernel";
/// The service name of PID 1's own lines.
pub const PID1: &str = "init";
