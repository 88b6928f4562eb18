//! The node API's process: mutual TLS on one port, and behind it PID 1, the logs and the kernel's own texts.
//!
//! `task` starts it; `server` takes connections (`census` says how many, `watched` how long) and `answer` turns a
//! request into a reply: `verbs` one by one, `stream` what goes on (`followers` says for how many). `pid1` and `logs` (which is `keeper`) are whom it
//! asks, `host` what it reads itself, `view`, `chain` and `metrics` how things are said. It runs without privileges; when it
//! dies, nothing else does.

pub mod answer;
pub mod body;
pub mod census;
pub mod chain;
pub mod config;
pub mod followers;
pub mod host;
pub mod keeper;
pub mod logs;
pub mod metrics;
pub mod pid1;
pub mod refusal;
pub mod server;
pub mod stream;
mod task;
pub mod verbs;
pub mod view;
pub mod watched;

#[cfg(test)]
mod promises;

pub use task::run;
