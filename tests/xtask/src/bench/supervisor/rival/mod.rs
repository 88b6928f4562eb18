//! Who is measured: our init and others, each with its way to be configured, started and stopped.
//!
//! A module per supervisor turns a [`Set`] into its files. All run as PID 1 of a room, with the
//! settings that let each be as quick as it can: no start limits, no delay that can be set to
//! nothing, no logging. Where a supervisor has a floor of its own it keeps it.

mod dinit;
mod ours;
mod runit;
mod s6;
mod systemd;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::room::Room;
use super::set::Set;

/// The programs of everybody.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Our init, as an image has it.
    pub init: PathBuf,
    /// The service.
    pub stamp: PathBuf,
    /// Debian's supervisors, as a root directory.
    pub rivals: PathBuf,
    /// Where dinit and dinitctl are, if they were given.
    pub dinit: Option<PathBuf>,
}

/// A supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Rival {
    /// Our init
    Ours,
    /// dinit: not in Debian, so it takes `--dinit`
    Dinit,
    /// s6-svscan and s6-supervise
    S6,
    /// runit's PID 1, runsvdir and runsv
    Runit,
    /// systemd
    Systemd,
}

/// What becomes PID 1 in a room that was furnished.
#[derive(Debug)]
pub struct Start {
    /// What appears as /usr.
    pub usr: Option<PathBuf>,
    /// PID 1 and its arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
}

impl Rival {
    /// Everybody, ours first.
    pub const ALL: [Self; 5] = [Self::Ours, Self::Dinit, Self::S6, Self::Runit, Self::Systemd];

    /// As people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Dinit => "dinit",
            Self::S6 => "s6",
            Self::Runit => "runit",
            Self::Systemd => "systemd",
        }
    }

    /// Whether it knows that one service needs another to be ready.
    pub fn knows_needs(self) -> bool {
        !matches!(self, Self::S6 | Self::Runit)
    }

    /// Whether a pause between an end and the next start can be configured; dinit's is between two starts.
    pub fn knows_delays(self) -> bool {
        matches!(self, Self::Ours | Self::Systemd)
    }

    /// Makes a room with this supervisor and `set`, and starts it.
    ///
    /// # Errors
    /// Files cannot be made, or the host has no room.
    pub fn open(self, set: &Set, programs: &Programs) -> Result<Room> {
        let files = Room::lay_out(self.name(), &programs.stamp)?;
        let start = match self {
            Self::Ours => ours::furnish(&files, set, programs),
            Self::Dinit => dinit::furnish(&files, set, programs),
            Self::S6 => s6::furnish(&files, set, programs),
            Self::Runit => runit::furnish(&files, set, programs),
            Self::Systemd => systemd::furnish(&files, set, programs),
        }?;
        Room::open(files, start.usr, start.command, start.environment)
    }

    /// Tells it to stop everything, as it is told when a machine ends.
    ///
    /// # Errors
    /// Those of kill(2).
    pub fn stop(self, room: &Room) -> Result<()> {
        let (process, signal) = match self {
            Self::Ours | Self::Dinit | Self::S6 => (room.first, Signal::SIGTERM),
            // What stage 3 does at a machine's end, without a shell in between.
            Self::Runit => (runit::directory_supervisor(room)?, Signal::SIGHUP),
            // Ctrl-alt-del; SIGTERM would have it execute itself anew.
            Self::Systemd => (room.first, Signal::SIGINT),
        };
        Ok(kill(Pid::from_raw(process), signal)?)
    }

    /// The pauses in milliseconds that it meant to make for its latest `count` restarts, oldest first, where
    /// `configured` was asked for: ours spreads pauses by 20 %, so that machines do not move in step.
    ///
    /// # Errors
    /// Ours does not say so many.
    pub fn delays(self, room: &Room, configured: Duration, count: usize) -> Result<Vec<f64>> {
        match self {
            Self::Ours => ours::pauses(&room.console(), count),
            _ => Ok(vec![configured.as_secs_f64() * 1e3; count]),
        }
    }
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

fn path_of_debian() -> (String, String) {
    ("PATH".to_owned(), "/usr/sbin:/usr/bin".to_owned())
}

/// A service directory, as daemontools and its kin have it: the program itself is the run script.
fn service_directory(directory: &Path, words: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::os::unix::fs::symlink("/bench/stamp", directory.join("run"))?;
    std::fs::write(directory.join("stamp"), words)
}
