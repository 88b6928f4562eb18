//! Patience with a deadline: ask again until it holds, or say what the last answer was.
//!
//! Deadlines are generous, since machines here are slow and noisy: they end a run that
//! hangs, they measure nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks until the answer is `Ok`.
///
/// # Errors
/// The last answer, once `within` is over, under what was waited for.
pub fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("waited {} s until {what}", within.as_secs()));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
