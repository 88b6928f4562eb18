//! Asks time servers and turns the clock.
//!
//! The first servable answer counts, in the order of the list. Servers are addresses,
//! never names: a name would need DNS, and DNSSEC would need the time.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rsntp::{Config, SntpClient};

use super::discipline::{Correction, Phase, Unanswered, correction, is_plausible, unanswered};
use crate::agent::files::{self, FileError};
use crate::agent::image::{Image, ImageError};
use crate::agent::notify::Notifier;
use crate::agent::paths;

/// How long one server may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The pause between rounds until somebody has answered.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// The pause between rounds once the machine has gone on without an answer.
const HOPE_EVERY: Duration = Duration::from_secs(15);
/// The pause once the time is known.
const CHECK_EVERY: Duration = Duration::from_secs(600);
/// The list of servers is a few addresses.
const LIST_MAX: u64 = 4096;

/// Why the clock cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ClockAgentError {
    /// The image does not say when it was built.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The list of servers is not there.
    #[error(transparent)]
    File(#[from] FileError),
    /// The kernel refused.
    #[error("{doing}: {source}")]
    Turn {
        /// Setting or nudging.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Runs the agent; it ends only by an error.
///
/// # Errors
/// [`ClockAgentError`].
pub fn run() -> Result<(), ClockAgentError> {
    let built = Image::load(Path::new(paths::IMAGE))?.built;
    let mut notifier = Notifier::from_environment();
    // A monotonic clock: the other one is about to jump.
    let begun = Instant::now();
    let (mut phase, mut ready) = (Phase::Start, false);
    loop {
        match ask(&servers()?, built) {
            Ok(offset) => {
                turn(offset, correction(offset, phase))?;
                phase = Phase::Later;
                if !ready {
                    notifier.ready();
                    ready = true;
                }
            }
            Err(why) if phase == Phase::Later => tracing::warn!(why, "no time server answers"),
            Err(why) => {
                let waited = SignedDuration::try_from(begun.elapsed()).unwrap_or(SignedDuration::MAX);
                match unanswered(waited, Timestamp::now(), built) {
                    Unanswered::GoOn if !ready => {
                        tracing::warn!(why, clock = %Timestamp::now(), "no time server answers: going on with the machine's clock");
                        notifier.ready();
                        ready = true;
                    }
                    Unanswered::Stuck => notifier.problem(&format!(
                        "{why}, and this machine's clock is earlier than its image ({built}): waiting for the time"
                    )),
                    Unanswered::Wait | Unanswered::GoOn => {}
                }
            }
        }
        thread::sleep(match (phase, ready) {
            (Phase::Later, _) => CHECK_EVERY,
            (Phase::Start, true) => HOPE_EVERY,
            (Phase::Start, false) => ASK_EVERY,
        });
    }
}

/// The servers that the network agent has written down; read each time, since a lease may change them.
fn servers() -> Result<Vec<IpAddr>, FileError> {
    let text = files::read_text(Path::new(paths::TIME_SERVERS), LIST_MAX)?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// The offset that the first plausible answer shows, or why there is none.
fn ask(servers: &[IpAddr], built: Timestamp) -> Result<SignedDuration, String> {
    let client = SntpClient::with_config(Config::default().timeout(ANSWER_WITHIN));
    let mut reasons = Vec::new();
    for server in servers {
        match client.synchronize(*server) {
            Ok(answer) => {
                let offset = SignedDuration::try_from_secs_f64(answer.clock_offset().as_secs_f64());
                match offset
                    .ok()
                    .and_then(|offset| Some((offset, Timestamp::now().checked_add(offset).ok()?)))
                {
                    Some((offset, time)) if is_plausible(time, built) => return Ok(offset),
                    _ => reasons.push(format!("{server} gives a time before the image was built")),
                }
            }
            Err(error) => reasons.push(format!("{server}: {error}")),
        }
    }
    if reasons.is_empty() {
        return Err("no time server is configured".to_owned());
    }
    Err(format!("no time server answers ({})", reasons.join("; ")))
}

fn turn(offset: SignedDuration, correction: Correction) -> Result<(), ClockAgentError> {
    let offset_ms = i64::try_from(offset.as_millis()).unwrap_or(i64::MAX);
    match correction {
        Correction::None => Ok(()),
        Correction::Slew => {
            tracing::info!(offset_ms, "nudging the clock");
            let microseconds = i64::try_from(offset.as_micros()).unwrap_or(0);
            node_sys::clock::slew(microseconds)
                .map_err(|source| ClockAgentError::Turn { doing: "nudging the clock", source })
        }
        Correction::Step => {
            let setting = |source| ClockAgentError::Turn { doing: "setting the clock", source };
            let time =
                Timestamp::now().checked_add(offset).map_err(|error| setting(io::Error::other(error)))?;
            node_sys::clock::step(SystemTime::from(time)).map_err(setting)?;
            tracing::info!(offset_ms, now = %Timestamp::now(), "the clock has been set");
            Ok(())
        }
    }
}
