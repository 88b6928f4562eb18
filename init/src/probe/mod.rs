//! `init probe KIND TARGET…`: waits until something is true, then exits with 0.
//!
//! PID 1 runs probes beside services to learn when they are ready, and as services of
//! their own where one machine waits for another. `question` is what is asked, `attempt`
//! asks it once. A probe has no deadline of its own: whoever started it kills it.

mod attempt;
mod question;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use attempt::{No, ask};
pub use question::{Question, Unclear};

/// How often a probe says what it still waits for.
const REMINDER: Duration = Duration::from_secs(15);

/// Asks until the answer is yes.
pub fn wait(question: &Question) {
    let begun = Instant::now();
    let mut reminded = begun;
    let mut to_read = match question {
        Question::Https { tls, .. } => tls.read_meanwhile.as_slice(),
        _ => &[],
    }
    .iter();
    loop {
        let Err(why) = attempt::ask(question) else { return };
        if let Some(path) = to_read.next() {
            attempt::read(path);
            continue;
        }
        let now = Instant::now();
        if now.duration_since(reminded) >= REMINDER {
            reminded = now;
            tracing::info!(waited_s = now.duration_since(begun).as_secs(), %why, "still waiting");
        }
        thread::sleep(pause(now.duration_since(begun)));
    }
}

/// The pause before the next attempt: most services are ready within the second, and
/// what takes longer is not worth a core of handshakes.
fn pause(waited: Duration) -> Duration {
    match waited.as_millis() {
        0..1_000 => Duration::from_millis(50),
        1_000..5_000 => Duration::from_millis(100),
        _ => Duration::from_millis(250),
    }
}
