//! What reads bytes from elsewhere, given any bytes: errors are fine, panics are bugs.
//!
//! A target is a file in `targets`. It asserts more than "no panic" where something is known: what
//! was encoded is decoded as it was, lines are bounded, roles are kept. `seeds` are real examples, made anew each time, so
//! that they never fall behind a format. `input` turns bytes into choices, `world` is a shell for PID 1's core.
//! Runs under `cargo xtask fuzz`; the kept inputs are in `corpus`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a target says no")]

pub mod input;
pub mod targets;
pub mod world;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use targets::{TARGETS, Target};

/// Which target this process is for.
const CHOICE: &str = "FUZZ_TARGET";
/// Where the seeds are written to before anything runs.
const SEEDS: &str = "FUZZ_SEEDS";

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

/// Chooses the target and writes its seeds.
///
/// # Panics
/// There is no such target, or the seeds cannot be written.
pub fn begin() {
    let name = std::env::var(CHOICE).expect("FUZZ_TARGET names a target");
    let target = TARGETS.iter().find(|target| target.name == name).expect("FUZZ_TARGET names a target");
    if let Some(directory) = std::env::var_os(SEEDS) {
        for (n, seed) in (target.seeds)().into_iter().enumerate() {
            let path = Path::new(&directory).join(format!("seed-{n}"));
            fs::write(&path, seed).expect("the directory for seeds can be written");
        }
    }
    CHOSEN.get_or_init(|| target);
}

/// Gives the chosen target an input.
pub fn run(input: &[u8]) {
    if let Some(target) = CHOSEN.get() {
        (target.run)(input);
    }
}
