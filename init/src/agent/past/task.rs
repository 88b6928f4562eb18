//! Reads what is there, tells it, keeps it.
//!
//! A task of every boot, once STATE is mounted; [`count_reboot`] is a process of its own that PID 1 starts
//! when it is about to reboot the machine, since PID 1 itself never waits for a disk.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::reboots::Reboots;
use super::words;
use crate::agent::files::{self, FileError};
use crate::agent::notify::Notifier;
use crate::agent::paths::REBOOTS;
use crate::control::CONTROL;
use crate::control::client::{self, ControlError};
use crate::control::message::{Answer, Request};

const PSTORE: &str = "/sys/fs/pstore";
/// The record is small.
const SMALL_MAX: u64 = 64 * 1024;
/// What is read of one part.
const PART_MAX: u64 = 256 * 1024;

/// Why the past is not known.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The record cannot be written.
    #[error("writing down a reboot: {0}")]
    Record(#[from] toml::ser::Error),
    /// PID 1 is not told.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// PID 1 does not want to know.
    #[error("telling PID 1 of its reboots: {0}")]
    Refused(String),
}

/// Tells PID 1 of its reboots, and the log of last words.
///
/// # Errors
/// [`PastError`].
pub fn run() -> Result<(), PastError> {
    let mut notifier = Notifier::from_environment();
    let lately = load().lately(Timestamp::now());
    match client::ask(Path::new(CONTROL), &Request::Rebooted(lately))? {
        Answer::Refused(why) => return Err(PastError::Refused(why)),
        _ if lately > 0 => tracing::info!(lately, "PID 1 has rebooted this machine in the last 24 hours"),
        _ => {}
    }
    let lines = last_words();
    for line in &lines {
        tracing::warn!("before this boot: {line}");
    }
    if !lines.is_empty() {
        notifier.status(&format!("the last boot left words: `slipway logs past`, {} lines", lines.len()));
    }
    Ok(())
}

/// Counts a reboot that PID 1 is about to do.
///
/// # Errors
/// [`PastError`].
pub fn count_reboot() -> Result<(), PastError> {
    let mut reboots = load();
    reboots.count(Timestamp::now());
    files::replace(Path::new(REBOOTS), toml::to_string(&reboots)?.as_bytes(), 0o644)?;
    Ok(())
}

fn load() -> Reboots {
    let text = match files::read_text(Path::new(REBOOTS), SMALL_MAX) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "taking it that there were no reboots");
            }
            return Reboots::default();
        }
    };
    toml::from_str(&text).unwrap_or_else(|error| {
        tracing::warn!(%error, path = REBOOTS, "taking it that there were no reboots");
        Reboots::default()
    })
}

/// Takes what is in pstore out of it.
fn last_words() -> Vec<String> {
    let mut parts = Vec::new();
    // A kernel without pstore has no such directory.
    for entry in fs::read_dir(PSTORE).into_iter().flatten().flatten() {
        match files::read(&entry.path(), PART_MAX) {
            Ok(bytes) => {
                let name = entry.file_name().to_string_lossy().into_owned();
                parts.push((name, String::from_utf8_lossy(&bytes).into_owned()));
                if let Err(error) = fs::remove_file(entry.path()) {
                    tracing::warn!(%error, path = %entry.path().display(), "removing what was read");
                }
            }
            Err(error) => tracing::warn!(%error, "reading last words"),
        }
    }
    words::lines(parts)
}
