//! Asking PID 1: one request, one answer, within a deadline; or a line that stays open.
//!
//! Calls block, so who has a runtime asks from a thread that may wait. When PID 1 replaces itself, lines
//! stay open and questions are answered by the new one.

use std::io;
use std::path::Path;
use std::time::Duration;

use node_sys::packet::{Connection, Received, Sent};

use super::WireError;
use super::message::{Answer, PACKET_MAX, Request};

/// PID 1 answers within a turn of its loop, which takes milliseconds; after so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens, or the conversation broke off.
    #[error("asking PID 1: {0}")]
    Io(#[from] io::Error),
    /// Not in time.
    #[error("asking PID 1: no answer in {} s", PATIENCE.as_secs())]
    Late,
    /// A message that is none.
    #[error("asking PID 1: {0}")]
    Wire(#[from] WireError),
    /// An answer that was longer than agreed.
    #[error("asking PID 1: the answer is too long")]
    TooLong,
}

/// Asks PID 1 at `socket`.
///
/// # Errors
/// [`ControlError`]; a refusal is an answer.
pub fn ask(socket: &Path, request: &Request) -> Result<Answer, ControlError> {
    let connection = Connection::connect(socket)?;
    connection.set_patience(PATIENCE)?;
    if connection.send(&request.encode()?, &[])? == Sent::NoRoom {
        return Err(ControlError::Late);
    }
    let mut buffer = vec![0; PACKET_MAX];
    match connection.receive(&mut buffer)? {
        Received::Packet(length, _) => Ok(Answer::decode(buffer.get(..length).unwrap_or_default())?),
        Received::TooLong => Err(ControlError::TooLong),
        Received::Nothing => Err(ControlError::Late),
        Received::End => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

/// A connection on which PID 1 speaks unasked.
#[derive(Debug)]
pub struct Line(Connection);

impl Line {
    /// Connects to PID 1 at `socket`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn open(socket: &Path) -> Result<Self, ControlError> {
        Ok(Self(Connection::connect(socket)?))
    }

    /// Says something that has no answer of its own.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn say(&self, request: &Request) -> Result<(), ControlError> {
        match self.0.send(&request.encode()?, &[])? {
            Sent::Whole => Ok(()),
            Sent::NoRoom => Err(ControlError::Late),
        }
    }

    /// Waits until PID 1 says something.
    ///
    /// # Errors
    /// [`ControlError`]; also when PID 1 hangs up.
    pub fn hear(&self) -> Result<Answer, ControlError> {
        let mut buffer = vec![0; PACKET_MAX];
        loop {
            match self.0.receive(&mut buffer)? {
                Received::Packet(length, _) => {
                    return Ok(Answer::decode(buffer.get(..length).unwrap_or_default())?);
                }
                Received::TooLong => return Err(ControlError::TooLong),
                Received::Nothing => {}
                Received::End => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use node_sys::packet::Listener;

    use super::*;

    #[test]
    fn a_question_gets_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let listener = Listener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (connection, _) = loop {
                if let Some(accepted) = listener.accept().unwrap() {
                    break accepted;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            let mut buffer = vec![0; PACKET_MAX];
            loop {
                if let Received::Packet(length, _) = connection.receive(&mut buffer).unwrap() {
                    let request = Request::decode(&buffer[..length]).unwrap();
                    assert_eq!(request, Request::Explain("etcd".to_owned()));
                    let answer = Answer::Explained(vec!["etcd is ready".to_owned()]);
                    connection.send(&answer.encode().unwrap(), &[]).unwrap();
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let answer = ask(&path, &Request::Explain("etcd".to_owned())).unwrap();
        assert_eq!(answer, Answer::Explained(vec!["etcd is ready".to_owned()]));
        server.join().unwrap();
    }

    #[test]
    fn nobody_there_is_an_error() {
        assert!(matches!(ask(Path::new("/nonexistent/control"), &Request::Own), Err(ControlError::Io(_))));
    }
}
