//! Asks a probe's question once: one connection, one answer, two seconds at most.
//!
//! Files are read anew at each attempt, since a probe may start before they are written.
//! The HTTP is the least that works: a request line, and the status line of the answer.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::question::{Question, TlsFiles, Url};
use crate::tls::{Identity, TlsError, client_config};

/// How long one attempt may take at each step: connecting, writing, reading.
const STEP: Duration = Duration::from_secs(2);
/// How much of an answer is read: its status line is within.
const ANSWER_MAX: usize = 1024;

/// Why the answer is not yes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum No {
    /// A step of the conversation did not come off.
    #[error("{doing} {target}: {source}")]
    Io {
        /// Which.
        doing: &'static str,
        /// With whom.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// The files for TLS are not there or not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Somebody answered something else.
    #[error("{target} answered {answer:?}")]
    Answer {
        /// Who.
        target: String,
        /// The status line.
        answer: String,
    },
    /// A file without a byte.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
}

/// Asks once.
pub(crate) fn ask(question: &Question) -> Result<(), No> {
    match question {
        Question::Http(urls) => any(urls, |url| {
            let stream = connect(&url.host, url.port)?;
            converse(stream, url, None)
        }),
        Question::Https { urls, tls } => any(urls, |url| https(url, tls)),
        Question::Tcp(targets) => {
            any(targets, |target| first_address(target).and_then(|at| dial(&at, target)).map(drop))
        }
        Question::Unix(path) => UnixStream::connect(path)
            .map(drop)
            .map_err(|source| io_error("connecting to", path.display(), source)),
        Question::File(path) => {
            let found =
                fs::metadata(path).map_err(|source| io_error("looking at", path.display(), source))?;
            if found.len() > 0 { Ok(()) } else { Err(No::Empty(path.clone())) }
        }
    }
}

/// Reads a file to have its pages in memory; whether that works is nobody's concern.
pub(super) fn read(path: &Path) {
    if let Ok(mut file) = File::open(path) {
        let _ = io::copy(&mut file, &mut io::sink());
    }
}

/// The first yes, or the last no.
fn any<T>(targets: &[T], mut ask: impl FnMut(&T) -> Result<(), No>) -> Result<(), No> {
    let mut last = Ok(());
    for target in targets {
        last = ask(target);
        if last.is_ok() {
            return last;
        }
    }
    last
}

fn https(url: &Url, files: &TlsFiles) -> Result<(), No> {
    let identity = match &files.client {
        Some((certificate, key)) => Some(Identity::load(certificate, key)?),
        None => None,
    };
    let config = client_config(&files.authority, identity)?;
    let name = files.name.as_ref().unwrap_or(&url.host);
    let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone()))?;
    let token = match &files.token {
        Some(path) => {
            let text =
                fs::read_to_string(path).map_err(|source| io_error("reading", path.display(), source))?;
            Some(text.trim().to_owned())
        }
        None => None,
    };
    let session = ClientConnection::new(Arc::new(config), name).map_err(TlsError::Session)?;
    converse(StreamOwned::new(session, connect(&url.host, url.port)?), url, token.as_deref())
}

/// One request, one status line.
fn converse(mut stream: impl Read + Write, url: &Url, token: Option<&str>) -> Result<(), No> {
    let target = format!("{}:{}{}", url.host, url.port, url.path);
    let credentials = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: slipway-probe\r\n{credentials}Connection: close\r\n\r\n",
        url.path, url.host
    );
    stream.write_all(request.as_bytes()).map_err(|source| io_error("asking", &target, source))?;
    let mut answer = Vec::new();
    let mut chunk = [0; 256];
    while !answer.contains(&b'\n') && answer.len() < ANSWER_MAX {
        let n = stream.read(&mut chunk).map_err(|source| io_error("hearing from", &target, source))?;
        if n == 0 {
            break;
        }
        answer.extend_from_slice(chunk.get(..n).unwrap_or_default());
    }
    let line =
        String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    if line.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(No::Answer { target, answer: line }) }
}

fn connect(host: &str, port: u16) -> Result<TcpStream, No> {
    let target = format!("{host}:{port}");
    let stream = dial(&first_address(&target)?, &target)?;
    let told = |source| io_error("setting the patience of", &target, source);
    stream.set_read_timeout(Some(STEP)).map_err(told)?;
    stream.set_write_timeout(Some(STEP)).map_err(told)?;
    Ok(stream)
}

fn first_address(target: &str) -> Result<SocketAddr, No> {
    let mut found = target.to_socket_addrs().map_err(|source| io_error("finding", target, source))?;
    found.next().ok_or_else(|| io_error("finding", target, io::ErrorKind::NotFound.into()))
}

fn dial(address: &SocketAddr, target: &str) -> Result<TcpStream, No> {
    TcpStream::connect_timeout(address, STEP).map_err(|source| io_error("connecting to", target, source))
}

fn io_error(doing: &'static str, target: impl ToString, source: io::Error) -> No {
    No::Io { doing, target: target.to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A server that answers every request with `status`, on a port of its own.
    fn answering(status: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).unwrap();
            }
        });
        port
    }

    fn http(port: u16) -> Url {
        Url { host: "127.0.0.1".to_owned(), port, path: "/readyz".to_owned() }
    }

    #[test]
    fn only_a_200_is_a_yes() {
        assert!(ask(&Question::Http(vec![http(answering("200 OK"))])).is_ok());
        let no = ask(&Question::Http(vec![http(answering("503 Service Unavailable"))])).unwrap_err();
        assert!(matches!(no, No::Answer { answer, .. } if answer == "HTTP/1.1 503 Service Unavailable"));
    }

    #[test]
    fn one_target_of_several_is_enough() {
        let (bad, good) = (answering("500 No"), answering("200 OK"));
        assert!(ask(&Question::Http(vec![http(bad), http(good)])).is_ok());
    }

    #[test]
    fn a_closed_port_is_a_no() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(ask(&Question::Tcp(vec![format!("127.0.0.1:{port}")])).is_err());
        assert!(ask(&Question::Tcp(vec![format!("127.0.0.1:{}", answering("200 OK"))])).is_ok());
    }

    #[test]
    fn a_socket_counts_when_somebody_listens_and_a_file_when_it_has_a_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        assert!(ask(&Question::Unix(path.clone())).is_err());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(ask(&Question::Unix(path.clone())).is_ok());
        drop(listener);
        assert!(ask(&Question::Unix(path)).is_err(), "the socket is there, but nobody behind it");

        let file = dir.path().join("f");
        assert!(ask(&Question::File(file.clone())).is_err());
        fs::write(&file, "").unwrap();
        assert!(matches!(ask(&Question::File(file.clone())), Err(No::Empty(_))));
        fs::write(&file, "x").unwrap();
        assert!(ask(&Question::File(file)).is_ok());
    }
}
