//! A mirror on loopback: files by path, served as well or as badly as a test wants.
//!
//! It understands GET with `Range` and `If-Range`, closes every connection after its answer and
//! remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How an answer goes.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// Everything, after this long.
    After(Duration),
    /// So many bytes of the body, then the connection closes.
    BreakOff(usize),
    /// So many bytes of the body, then silence.
    Stall(usize),
    /// Only this status.
    Status(u16),
}

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, (Vec<u8>, String)>,
    manners: VecDeque<Manner>,
    requests: Vec<Request>,
}

/// The mirror.
#[derive(Debug, Clone)]
pub struct Mirror {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let server = mirror.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                // A client that was killed is no concern of the server's.
                std::thread::spawn(move || drop(server.answer(stream)));
            }
        });
        mirror
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn put(&self, path: &str, bytes: &[u8]) {
        let tag = format!("\"{}\"", image_format::Digest::of(bytes));
        self.state.lock().unwrap().files.insert(path.to_owned(), (bytes.to_vec(), tag));
    }

    pub fn remove(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path);
    }

    /// How the next answers go, one each; after them it behaves.
    pub fn misbehave(&self, manners: impl IntoIterator<Item = Manner>) {
        self.state.lock().unwrap().manners = manners.into_iter().collect();
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = read_request(&stream)?;
        let (file, manner) = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(request.clone());
            let manner = state.manners.pop_front().unwrap_or(Manner::After(Duration::ZERO));
            (state.files.get(&request.path).cloned(), manner)
        };
        let Some((bytes, tag)) = file else {
            return stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        };
        let from = request
            .range
            .as_deref()
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
            .filter(|_| request.if_range.as_ref().is_none_or(|wanted| *wanted == tag));
        let (status, body) = match from {
            Some(from) if from < bytes.len() => (206, &bytes[from..]),
            Some(_) => (416, &bytes[..0]),
            None => (200, &bytes[..]),
        };
        let (status, limit) = match manner {
            Manner::After(pause) => {
                std::thread::sleep(pause);
                (status, body.len())
            }
            Manner::BreakOff(limit) | Manner::Stall(limit) => (status, limit.min(body.len())),
            Manner::Status(status) => (status, 0),
        };
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        head += &format!("ETag: {tag}\r\nConnection: close\r\n");
        if let (206, Some(from)) = (status, from) {
            head += &format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&body[..limit])?;
        stream.flush()?;
        if let Manner::Stall(_) = manner {
            // Until the client goes away.
            let _ = stream.read(&mut [0])?;
        }
        stream.shutdown(Shutdown::Both)
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let mut request = Request { path, ..Request::default() };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "if-range" => request.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(request)
}
