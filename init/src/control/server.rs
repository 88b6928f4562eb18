//! The serving end: who is connected, what they ask, and what they are sent.
//!
//! Never waits and never grows: so many connections, so many requests per turn and connection,
//! and a client that does not take its answers is hung up on. What is answered is the
//! supervisor's.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use node_sys::event::{Interest, Poll};
use node_sys::packet::{Connection, Listener, Received, Sent};

use super::message::{Answer, PACKET_MAX, Request};
use super::{API_USER, CONTROL};
use crate::supervisor::token::Token;

/// Clients at the same time: our own few processes, and room for tests.
const CLIENTS_MAX: usize = 64;
/// Requests taken from one client per turn.
const REQUESTS_PER_TURN: usize = 16;

/// A connected client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    slot: usize,
    generation: u64,
}

/// What a turn brought from one client.
#[derive(Debug)]
pub enum Heard {
    /// It asks.
    Request(Request),
    /// It is gone.
    Gone,
}

#[derive(Debug)]
struct Seat {
    connection: Connection,
    pid: i32,
    user: u32,
    generation: u64,
}

/// PID 1's end of the control socket.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    seats: Vec<Option<Seat>>,
    generations: u64,
    buffer: Vec<u8>,
}

impl Server {
    /// Listens; only root and apid can connect.
    ///
    /// # Errors
    /// Those of bind(2), chmod(2) and epoll_ctl(2).
    pub fn listen(poll: &Poll) -> io::Result<Self> {
        // Left over from a program that this one replaced.
        match fs::remove_file(CONTROL) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = Listener::bind(Path::new(CONTROL))?;
        std::os::unix::fs::chown(CONTROL, Some(0), Some(API_USER))?;
        fs::set_permissions(CONTROL, fs::Permissions::from_mode(0o660))?;
        poll.add(&listener, Token::Control.to_raw(), Interest::Read)?;
        let seats = (0..CLIENTS_MAX).map(|_| None).collect();
        Ok(Self { listener, seats, generations: 0, buffer: vec![0; PACKET_MAX] })
    }

    /// Takes who waits to connect; too many are hung up on at once.
    pub fn accept(&mut self, poll: &Poll) {
        while let Ok(Some((connection, peer))) = self.listener.accept() {
            let Some((slot, seat)) = self.seats.iter_mut().enumerate().find(|(_, seat)| seat.is_none())
            else {
                continue;
            };
            let may = peer.user == 0 || peer.user == API_USER;
            if may && poll.add(&connection, Token::Client(slot).to_raw(), Interest::Read).is_ok() {
                self.generations = self.generations.wrapping_add(1);
                *seat =
                    Some(Seat { connection, pid: peer.pid, user: peer.user, generation: self.generations });
            }
        }
    }

    /// What the client at `slot` wants.
    pub fn hear(&mut self, slot: usize, poll: &Poll) -> Vec<(Client, Heard)> {
        let mut heard = Vec::new();
        for _ in 0..REQUESTS_PER_TURN {
            let Some(Some(seat)) = self.seats.get(slot) else { break };
            let client = Client { slot, generation: seat.generation };
            match seat.connection.receive(&mut self.buffer) {
                Ok(Received::Packet(len, _)) => {
                    match Request::decode(self.buffer.get(..len).unwrap_or_default()) {
                        Ok(request) => heard.push((client, Heard::Request(request))),
                        Err(error) => self.answer(client, &Answer::Refused(error.to_string()), &[], poll),
                    }
                }
                Ok(Received::TooLong) => {
                    self.answer(client, &Answer::Refused("the request is too long".to_owned()), &[], poll);
                }
                Ok(Received::Nothing) => break,
                Ok(Received::End) | Err(_) => {
                    self.hang_up(client, poll);
                    heard.push((client, Heard::Gone));
                    break;
                }
            }
        }
        heard
    }

    /// Sends `answer`; who does not take it is hung up on.
    pub fn answer(&mut self, client: Client, answer: &Answer, descriptors: &[BorrowedFd<'_>], poll: &Poll) {
        let Some(seat) = self.seat(client) else { return };
        let packet = answer.encode().or_else(|error| Answer::Refused(error.to_string()).encode());
        let sent =
            packet.map_err(io::Error::other).and_then(|packet| seat.connection.send(&packet, descriptors));
        if !matches!(sent, Ok(Sent::Whole)) {
            self.hang_up(client, poll);
        }
    }

    /// The process that connected, as the kernel knew it then.
    #[must_use]
    pub fn pid(&self, client: Client) -> Option<i32> {
        self.seat(client).map(|seat| seat.pid)
    }

    /// Whether it connected as root.
    #[must_use]
    pub fn is_root(&self, client: Client) -> bool {
        self.seat(client).is_some_and(|seat| seat.user == 0)
    }

    fn seat(&self, client: Client) -> Option<&Seat> {
        self.seats.get(client.slot)?.as_ref().filter(|seat| seat.generation == client.generation)
    }

    fn hang_up(&mut self, client: Client, poll: &Poll) {
        if let Some(seat) = self.seats.get_mut(client.slot)
            && let Some(gone) = seat.take_if(|seat| seat.generation == client.generation)
        {
            // Closing it would do; but a duplicate in a child that is being made would keep it alive.
            let _ = poll.remove(&gone.connection);
        }
    }
}
