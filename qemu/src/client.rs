//! The other end of a running lab's control socket: asks, and waits for the answer.
//!
//! Blocking, for commands and tests that do one thing at a time. Whether the lab runs at all is `crate::labs`'s
//! business.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::{Doing, Error, Result, on};
use crate::protocol::{LabStatus, MachineOrder, Reply, Request};

/// The supervisor answers from its one thread, which never waits for a machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a running lab.
#[derive(Debug)]
pub struct Client {
    name: String,
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn connect(name: &str, control: &Path) -> Result<Self> {
        let stream = UnixStream::connect(control).doing(on("connecting to", control))?;
        stream.set_read_timeout(Some(PATIENCE)).doing(on("connecting to", control))?;
        Ok(Client { name: name.to_owned(), stream: BufReader::new(stream) })
    }

    /// Everything there is to know.
    pub fn status(&mut self) -> Result<LabStatus> {
        match self.ask(&Request::Status {})? {
            Reply::Status(status) => Ok(*status),
            other => Err(self.unexpected(other)),
        }
    }

    /// Does something to a machine; it is under way when this returns.
    pub fn order(&mut self, machine: &str, order: MachineOrder, patience: Option<Duration>) -> Result<()> {
        let patience_ms = patience.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        match self.ask(&Request::Machine { machine: machine.to_owned(), order, patience_ms })? {
            Reply::Done => Ok(()),
            other => Err(self.unexpected(other)),
        }
    }

    /// Opens a port of the host's loopback that leads to `target`.
    pub fn forward(&mut self, name: &str, target: SocketAddrV4) -> Result<SocketAddr> {
        match self.ask(&Request::Forward { name: name.to_owned(), target })? {
            Reply::Forward(forward) => Ok(forward.host),
            other => Err(self.unexpected(other)),
        }
    }

    pub(crate) fn down(&mut self) -> Result<()> {
        match self.ask(&Request::Down {})? {
            Reply::Done => Ok(()),
            other => Err(self.unexpected(other)),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply> {
        let doing = || format!("talking to lab {}", self.name);
        let json = |source| Error::Json { doing: doing(), source };
        let mut line = serde_json::to_string(request).map_err(json)?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).doing(doing)?;
        let mut answer = String::new();
        self.stream.by_ref().read_line(&mut answer).doing(doing)?;
        if answer.is_empty() {
            return Err(Error::NotRunning(self.name.clone()));
        }
        serde_json::from_str(&answer).map_err(json)
    }

    fn unexpected(&self, reply: Reply) -> Error {
        match reply {
            Reply::Refused(why) => Error::Other(why),
            other => Error::Other(format!("lab {} answered {other:?}", self.name)),
        }
    }
}
