//! The machine as the kernel shows it, for the API's answers.
//!
//! `observe` reads /proc and /sys, and nothing else here does: the others turn the kernel's texts into what the API
//! says. A line that does not parse is left out; processes and disks come and go while one looks.

pub mod disks;
pub mod memory;
pub mod mounts;
pub mod network;
pub mod observe;
pub mod processes;
pub mod usage;

/// The number that follows `key` at the beginning of a line of `text`.
fn number_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(key)?;
        rest.trim_start_matches([':', ' ', '\t']).split_whitespace().next()?.parse().ok()
    })
}
