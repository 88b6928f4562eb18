//! The serving end: who is connected, what they ask, and what they are sent.
//!
//! Never waits and never grows: so many connections, so many requests per turn and connection,
//! and a client that does not take its answers is hung up on. What is answered is the
//! supervisor's.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use machine_config::service::Group;
use node_sys::event::{Interest, Poll};
use node_sys::packet::{Connection, Listener, Received, Sent};
use node_sys::resume;
use serde::{Deserialize, Serialize};

use super::CONTROL;
use super::message::{Answer, PACKET_MAX, Request};
use crate::supervisor::token::Token;

/// Clients at the same time: our own few processes, each request of a hundred people's through apid, and some more.
const CLIENTS_MAX: usize = 128;
/// Requests taken from one client per turn: one, and with it whether that was the last. All clients together ask
/// no more than a turn has time for.
const REQUESTS_PER_TURN: usize = 2;

/// A connected client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// The same as numbers, for a successor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    listener: RawFd,
    seats: Vec<SavedSeat>,
    generations: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedSeat {
    slot: usize,
    connection: RawFd,
    pid: i32,
    user: u32,
    generation: u64,
}

impl Saved {
    /// All its descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.seats.iter().map(|seat| seat.connection).chain([self.listener])
    }
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
    /// Listens; only root and who is in the group [`Group::Control`] can connect, as the kernel sees to.
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
        std::os::unix::fs::chown(CONTROL, Some(0), Some(Group::Control.number()))?;
        fs::set_permissions(CONTROL, fs::Permissions::from_mode(0o660))?;
        poll.add(&listener, Token::Control.to_raw(), Interest::Read)?;
        let seats = (0..CLIENTS_MAX).map(|_| None).collect();
        Ok(Self { listener, seats, generations: 0, buffer: vec![0; PACKET_MAX] })
    }

    /// What a successor must know.
    #[must_use]
    pub fn save(&self) -> Saved {
        let seat = |(slot, seat): (usize, &Option<Seat>)| {
            let Seat { connection, pid, user, generation } = seat.as_ref()?;
            let connection = connection.as_fd().as_raw_fd();
            Some(SavedSeat { slot, connection, pid: *pid, user: *user, generation: *generation })
        };
        Saved {
            listener: self.listener.as_fd().as_raw_fd(),
            seats: self.seats.iter().enumerate().filter_map(seat).collect(),
            generations: self.generations,
        }
    }

    /// Goes on where a predecessor ended; whoever is connected stays so.
    ///
    /// # Errors
    /// A descriptor is not what it should be; those of epoll_ctl(2).
    pub fn restore(saved: &Saved, poll: &Poll) -> io::Result<Self> {
        let listener = Listener::from(resume::adopt(saved.listener)?);
        poll.add(&listener, Token::Control.to_raw(), Interest::Read)?;
        let mut seats: Vec<Option<Seat>> = (0..CLIENTS_MAX).map(|_| None).collect();
        for SavedSeat { slot, connection, pid, user, generation } in saved.seats.clone() {
            let connection = Connection::from(resume::adopt(connection)?);
            poll.add(&connection, Token::Client(slot).to_raw(), Interest::Read)?;
            if let Some(seat) = seats.get_mut(slot) {
                *seat = Some(Seat { connection, pid, user, generation });
            }
        }
        Ok(Self { listener, seats, generations: saved.generations, buffer: vec![0; PACKET_MAX] })
    }

    /// Takes who waits to connect; too many are hung up on at once. Those that are gone, if that was found out.
    pub fn accept(&mut self, poll: &Poll) -> Vec<Client> {
        let mut gone = Vec::new();
        while let Ok(Some((connection, peer))) = self.listener.accept() {
            if self.seats.iter().all(Option::is_some) {
                // Who has gone already must not keep out who has come: it wants no answer any more.
                for (slot, seat) in self.seats.iter_mut().enumerate() {
                    let seat = seat.take_if(|seat| seat.connection.has_hung_up());
                    gone.extend(seat.map(|seat| Client { slot, generation: seat.generation }));
                }
            }
            let Some((slot, seat)) = self.seats.iter_mut().enumerate().find(|(_, seat)| seat.is_none())
            else {
                continue;
            };
            if poll.add(&connection, Token::Client(slot).to_raw(), Interest::Read).is_ok() {
                self.generations = self.generations.wrapping_add(1);
                *seat =
                    Some(Seat { connection, pid: peer.pid, user: peer.user, generation: self.generations });
            }
        }
        gone
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

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::*;

    /// A server with one client, as a predecessor would have left them.
    fn server(poll: &Poll) -> (Server, Connection, Client) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let listener = Listener::bind(&path).unwrap();
        let there = Connection::connect(&path).unwrap();
        let (here, peer) = listener.accept().unwrap().unwrap();
        let number = |end: BorrowedFd<'_>| end.try_clone_to_owned().unwrap().into_raw_fd();
        let client = Client { slot: 3, generation: 7 };
        let seat = SavedSeat {
            slot: client.slot,
            connection: number(here.as_fd()),
            pid: peer.pid,
            user: peer.user,
            generation: client.generation,
        };
        let saved = Saved { listener: number(listener.as_fd()), seats: vec![seat], generations: 7 };
        (Server::restore(&saved, poll).unwrap(), there, client)
    }

    #[test]
    fn who_asks_all_the_time_is_heard_so_often_per_turn_and_no_more() {
        let poll = Poll::new().unwrap();
        let (mut server, there, client) = server(&poll);
        let request = Request::Own.encode().unwrap();
        there.set_patience(std::time::Duration::from_millis(1)).unwrap();
        let mut asked = 0;
        while asked < 40 && there.send(&request, &[]).unwrap() == Sent::Whole {
            asked += 1;
        }
        assert!(asked > REQUESTS_PER_TURN, "{asked}");
        let mut heard = 0;
        while heard < asked {
            let turn = server.hear(client.slot, &poll).len();
            assert!((1..=REQUESTS_PER_TURN).contains(&turn), "{turn} requests in a turn");
            heard += turn;
        }
        assert!(server.hear(client.slot, &poll).is_empty());
    }

    #[test]
    fn who_does_not_take_its_answers_is_hung_up_on_and_nobody_waits_for_it() {
        let poll = Poll::new().unwrap();
        let (mut server, _there, client) = server(&poll);
        let answer = Answer::Refused("x".repeat(4000));
        let mut answers = 0;
        while server.pid(client).is_some() {
            server.answer(client, &answer, &[], &poll);
            answers += 1;
            assert!(answers < 10_000, "nobody reads, and the socket's buffer is bounded");
        }
        assert!(server.hear(client.slot, &poll).is_empty(), "its seat is free");
    }
}
