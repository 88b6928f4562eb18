//! What an agent tells PID 1: sd_notify's datagrams.
//!
//! `READY=1` opens the way for dependents, `STATUS=…` goes to the console as a line about
//! the machine, and a status that begins with `problem:` is kept as the last problem.
//! The same text is sent once, not at every poll, or it would drown the console.

use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::text::one_line;

/// How a status begins that is kept as the last problem.
const PROBLEM: &str = "problem: ";
/// The longest status that is sent; a console line, not a report.
const STATUS_MAX: usize = 1000;

/// The way to PID 1, or none when started by hand.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    said: String,
}

impl Notifier {
    /// Takes the way from `$NOTIFY_SOCKET`.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::to(env::var_os("NOTIFY_SOCKET"))
    }

    fn to(target: Option<OsString>) -> Self {
        let socket = target.and_then(|target| match connect(&target) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(?target, %error, "nobody to notify");
                None
            }
        });
        Self { socket, said: String::new() }
    }

    /// Dependents may start.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// We are alive: for those of whom it is expected (`liveness` without a question).
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// A fact about the machine, for whoever stands at it.
    pub fn status(&mut self, text: &str) {
        self.say(text.to_owned());
    }

    /// Something that somebody must do something about.
    pub fn problem(&mut self, text: &str) {
        self.say(format!("{PROBLEM}{text}"));
    }

    /// Takes the last problem back, if there was one, with what holds now.
    pub fn solved(&mut self, text: &str) {
        if self.said.starts_with(PROBLEM) {
            self.say(text.to_owned());
        }
    }

    fn say(&mut self, text: String) {
        if self.said == text {
            return;
        }
        // PID 1 puts it on the console; a log line beside it would be the same line again.
        if self.socket.is_some() {
            self.send(&format!("STATUS={}", one_line(&text, STATUS_MAX)));
        } else {
            tracing::info!("{text}");
        }
        self.said = text;
    }

    fn send(&self, message: &str) {
        // Nothing depends on a status line; a lost READY shows as a service that never becomes ready.
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::warn!(%error, message, "notifying PID 1");
        }
    }
}

fn connect(target: &OsString) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match target.as_bytes().split_first() {
        Some((b'@', name)) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(target)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 2048];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    #[test]
    fn the_same_problem_is_told_once_and_taken_back_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let pid1 = UnixDatagram::bind(&path).unwrap();
        let mut notifier = Notifier::to(Some(path.into()));
        notifier.problem("no config\nyet");
        notifier.problem("no config\nyet");
        notifier.status("is w1");
        notifier.problem("no config\nyet");
        notifier.ready();
        notifier.solved("has a config");
        notifier.solved("has a config");
        notifier.ready();
        assert_eq!(received(&pid1), "STATUS=problem: no config yet");
        assert_eq!(received(&pid1), "STATUS=is w1");
        assert_eq!(received(&pid1), "STATUS=problem: no config yet");
        assert_eq!(received(&pid1), "READY=1");
        assert_eq!(received(&pid1), "STATUS=has a config");
        assert_eq!(received(&pid1), "READY=1");
    }

    #[test]
    fn without_pid1_an_agent_runs_all_the_same() {
        Notifier::to(None).ready();
        Notifier::to(Some("/nonexistent/notify".into())).status("alone");
    }
}
