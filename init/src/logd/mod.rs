//! `init logd`: what services, PID 1 and the kernel say, stored and given to readers.
//!
//! Intake (`task`) reads the pipes and stores lines in memory; it waits for nobody. The `keeper` copies
//! them to disk. A reader's thread (`serve`) walks through both. They share files and a `board` of counters,
//! so a disk or a reader that hangs stops nothing but itself. Storage: `block` is the format, `segment` a
//! file of blocks, `ring` those in memory, `disk` those on disk, `failure` what is set apart.
//! Intake: `source`, `word`, `cut`, `limit`, `shelf`, `intake`, `kernel`; `echo` shows lines at the console. Readers: `query` and `record` are the
//! words, `walk` and `answer` the search, `client` the other end.

pub mod client;
pub mod query;
pub mod record;

mod answer;
mod arguments;
mod block;
mod board;
mod boots;
mod cut;
mod disk;
mod echo;
mod failure;
mod intake;
mod keeper;
mod kernel;
mod limit;
mod ring;
mod segment;
mod serve;
mod shelf;
mod source;
mod task;
mod walk;
pub mod word;

pub use task::main;

/// The service name of the kernel's own lines.
pub const KERNEL: &str = "kernel";
/// The service name of PID 1's own lines.
pub const PID1: &str = "init";
