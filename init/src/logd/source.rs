//! Where the pipes come from: PID 1, or whoever started us by hand.
//!
//! PID 1 keeps a duplicate of every reading end, so that no line is lost and no service dies of
//! SIGPIPE while we are away.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use machine_config::service::LogSpec;
use node_sys::event;
use node_sys::packet::{Connection, Received};

use crate::control::message::{Answer, LogPipe, PACKET_MAX, Request};
use crate::control::{CONTROL, WireError};

/// A pipe and whose it is.
#[derive(Debug)]
pub struct Pipe {
    /// Whose, with its limits.
    pub of: LogPipe,
    /// The reading end.
    pub end: OwnedFd,
}

/// All pipes.
#[derive(Debug)]
pub struct Source {
    /// PID 1's own first, if they are from it.
    pub pipes: Vec<Pipe>,
    /// Whether the machine was up already.
    pub up: bool,
    /// As long as it is open, PID 1 leaves reading to us.
    pub reading: Option<Connection>,
}

impl Source {
    /// From words that each name a descriptor; nobody else reads them.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn from_words(words: &[String]) -> Result<Self, SourceError> {
        let pipes = words.iter().map(|word| from_word(word)).collect::<Result<_, _>>()?;
        Ok(Self { pipes, up: false, reading: None })
    }
}

/// Why there are no pipes.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The socket does not work.
    #[error("asking PID 1 for the log pipes")]
    Control(#[source] io::Error),
    /// What came is no answer.
    #[error("reading PID 1's answer")]
    Answer(#[source] WireError),
    /// Another answer.
    #[error("PID 1 gives no log pipes: {0}")]
    Refused(String),
    /// A word that is no pipe.
    #[error("{0:?} is not FD=NAME or FD=NAME,LINES-PER-SECOND,BURST,DISK-MIB")]
    Word(String),
    /// A descriptor that cannot be read.
    #[error("opening descriptor {number}")]
    Descriptor {
        /// Which.
        number: u32,
        /// Why.
        source: io::Error,
    },
}

/// Asks PID 1.
///
/// # Errors
/// [`SourceError`].
pub fn from_pid1() -> Result<Source, SourceError> {
    let connection = Connection::connect(Path::new(CONTROL)).map_err(SourceError::Control)?;
    ask(connection)
}

fn ask(connection: Connection) -> Result<Source, SourceError> {
    let request = Request::LogPipes.encode().map_err(SourceError::Answer)?;
    connection.send(&request, &[]).map_err(SourceError::Control)?;
    let mut buffer = vec![0; PACKET_MAX];
    let (bytes, ends) = match connection.receive(&mut buffer).map_err(SourceError::Control)? {
        Received::Packet(length, ends) => (buffer.get(..length).unwrap_or_default(), ends),
        other => return Err(SourceError::Refused(format!("{other:?}"))),
    };
    match Answer::decode(bytes).map_err(SourceError::Answer)? {
        Answer::LogPipes { pipes, up } if pipes.len() == ends.len() => {
            let pipes = pipes.into_iter().zip(ends).map(|(of, end)| Pipe { of, end }).collect();
            Ok(Source { pipes, up, reading: Some(connection) })
        }
        Answer::LogPipes { pipes, .. } => {
            Err(SourceError::Refused(format!("{} pipes with {} descriptors", pipes.len(), ends.len())))
        }
        Answer::Refused(why) => Err(SourceError::Refused(why)),
        other => Err(SourceError::Refused(format!("{other:?}"))),
    }
}

/// Reads `FD=NAME` or `FD=NAME,LINES-PER-SECOND,BURST,DISK-MIB`, and opens the descriptor.
fn from_word(word: &str) -> Result<Pipe, SourceError> {
    let (number, of) = parse(word).ok_or_else(|| SourceError::Word(word.to_owned()))?;
    let path = PathBuf::from(format!("/proc/self/fd/{number}"));
    // A description of its own, so that "does not block" is not said to others that have the pipe.
    let end = OpenOptions::new().read(true).custom_flags(event::OPEN_CONSOLE).open(path);
    Ok(Pipe { of, end: end.map_err(|source| SourceError::Descriptor { number, source })?.into() })
}

fn parse(word: &str) -> Option<(u32, LogPipe)> {
    let (number, rest) = word.split_once('=')?;
    let mut fields = rest.split(',');
    let service = fields.next().filter(|name| !name.is_empty() && !name.contains('/'))?.to_owned();
    let usual = LogSpec::default();
    let mut of = LogPipe {
        service,
        lines_per_second: usual.lines_per_second,
        burst: usual.burst,
        disk_mib: usual.disk_mib,
    };
    if let Some(field) = fields.next() {
        of.lines_per_second = field.parse().ok()?;
        of.burst = fields.next()?.parse().ok()?;
        of.disk_mib = fields.next()?.parse().ok()?;
    }
    fields.next().is_none().then_some((number.parse().ok()?, of))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::thread;

    use super::*;

    #[test]
    fn a_word_names_a_descriptor_and_a_service() {
        let (number, of) = parse("3=etcd").unwrap();
        assert_eq!((number, of.service.as_str(), of.burst), (3, "etcd", 50_000));
        let (_, of) = parse("3=etcd,1,2,4").unwrap();
        assert_eq!((of.lines_per_second, of.burst, of.disk_mib), (1, 2, 4));
        for wrong in ["", "etcd", "3=", "3=../x", "3=etcd,1", "3=etcd,1,2,3,4", "x=etcd"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn pid_1_gives_names_and_descriptors_in_the_same_order() {
        let (ours, pid1) = Connection::pair().unwrap();
        let thread = thread::spawn(move || ask(ours));
        let mut buffer = [0; 64];
        let Received::Packet(length, _) = pid1.receive(&mut buffer).unwrap() else { panic!() };
        assert_eq!(postcard::from_bytes::<Request>(&buffer[..length]).unwrap(), Request::LogPipes);
        let (end, _writing) = event::pipe().unwrap();
        let of = LogPipe { service: "init".to_owned(), lines_per_second: 1, burst: 2, disk_mib: 3 };
        let answer = postcard::to_allocvec(&Answer::LogPipes { pipes: vec![of.clone()], up: true }).unwrap();
        pid1.send(&answer, &[end.as_fd()]).unwrap();
        let source = thread.join().unwrap().unwrap();
        assert_eq!((source.pipes.len(), source.up), (1, true));
        assert_eq!(source.pipes[0].of, of);
        drop(source);
        assert!(matches!(pid1.receive(&mut buffer).unwrap(), Received::End), "it was open until then");
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let (ours, pid1) = Connection::pair().unwrap();
        let answer = postcard::to_allocvec(&Answer::Refused("you are not logd".to_owned())).unwrap();
        pid1.send(&answer, &[]).unwrap();
        let error = ask(ours).unwrap_err().to_string();
        assert_eq!(error, "PID 1 gives no log pipes: you are not logd");
    }
}
