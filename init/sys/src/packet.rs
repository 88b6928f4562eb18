//! Packets between our own processes: unix seqpacket sockets, with descriptors if need be.
//!
//! Whole packets or nothing, never a wait on the serving side. Who the other end is comes from
//! the kernel, at the moment it connected; what may be asked is `init`'s business.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};

/// The most descriptors that go with one packet; the kernel's own limit.
pub const DESCRIPTORS_MAX: usize = 253;
/// Connections that may wait to be taken.
const BACKLOG: i32 = 64;

/// The serving end.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// One connection.
#[derive(Debug)]
pub struct Connection(OwnedFd);

/// Who is at the other end, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process, when it connected.
    pub pid: i32,
    /// Its user.
    pub user: u32,
}

/// What was received.
#[derive(Debug)]
pub enum Received {
    /// A packet of so many bytes, with descriptors.
    Packet(usize, Vec<OwnedFd>),
    /// A packet that was longer than the buffer; the rest of it is lost.
    TooLong,
    /// Nothing is there yet.
    Nothing,
    /// The other end is gone.
    End,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, whole.
    Whole,
    /// There is no room for it now.
    NoRoom,
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags | SocketFlags::CLOEXEC,
        None,
    )?)
}

impl From<OwnedFd> for Listener {
    /// Taken over from an earlier program of this process.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl Listener {
    /// Listens at `path`.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind(path: &Path) -> io::Result<Self> {
        let listener = socket(SocketFlags::NONBLOCK)?;
        rustix::net::bind(&listener, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(Self(listener))
    }

    /// Takes the next connection, if one waits; sends on it never wait.
    ///
    /// # Errors
    /// Those of accept4(2).
    pub fn accept(&self) -> io::Result<Option<(Connection, Peer)>> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let connection = match rustix::net::accept_with(&self.0, flags) {
            Ok(connection) => connection,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let peer = sockopt::socket_peercred(&connection)?;
        let peer = Peer { pid: peer.pid.as_raw_nonzero().get(), user: peer.uid.as_raw() };
        Ok(Some((Connection(connection), peer)))
    }
}

impl From<OwnedFd> for Connection {
    /// Taken over from an earlier program of this process.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl Connection {
    /// Connects to `path`; receives wait.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect(path: &Path) -> io::Result<Self> {
        let connection = socket(SocketFlags::empty())?;
        rustix::net::connect(&connection, &SocketAddrUnix::new(path)?)?;
        Ok(Self(connection))
    }

    /// Two connected ends, both of which wait.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(a), Self(b)))
    }

    /// Whether the other end is gone, whatever it said before.
    #[must_use]
    pub fn has_hung_up(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut looked_at = [PollFd::new(&self.0, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut looked_at, Some(&at_once)).is_ok_and(|_| {
            looked_at.iter().any(|end| end.revents().intersects(PollFlags::HUP | PollFlags::ERR))
        })
    }

    /// Has sends and receives give up after `patience`, as if there were no room or nothing there.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Recv, Some(patience))?;
        sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Send, Some(patience))?;
        Ok(())
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// Those of sendmsg(2): `EPIPE` when nobody is there any more, `EMSGSIZE` when it is too long.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<Sent> {
        let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(descriptors).size()];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        loop {
            match rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(Sent::Whole),
                Err(rustix::io::Errno::AGAIN) => return Ok(Sent::NoRoom),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Receives a packet into `buffer`.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let slices = &mut [IoSliceMut::new(buffer)];
            match rustix::net::recvmsg(&self.0, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(Received::Nothing),
                Err(rustix::io::Errno::CONNRESET) => return Ok(Received::End),
                Err(error) => return Err(error.into()),
            }
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Ok(Received::TooLong);
        }
        // A packet of nothing is not sent by anybody of ours: it is the end.
        Ok(if received.bytes == 0 { Received::End } else { Received::Packet(received.bytes, descriptors) })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn who_has_gone_has_hung_up_whatever_is_still_to_be_read() {
        let (here, there) = Connection::pair().unwrap();
        there.send(b"hello", &[]).unwrap();
        assert!(!here.has_hung_up());
        drop(there);
        assert!(here.has_hung_up());
    }

    #[test]
    fn a_packet_arrives_whole_with_its_descriptors_and_its_sender() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let listener = Listener::bind(&path).unwrap();
        assert!(listener.accept().unwrap().is_none());
        let client = Connection::connect(&path).unwrap();
        let (server, peer) = listener.accept().unwrap().unwrap();
        assert_eq!(u32::try_from(peer.pid).unwrap(), std::process::id());
        let mut buffer = [0; 16];
        assert!(matches!(server.receive(&mut buffer).unwrap(), Received::Nothing));
        let (mut read, mut write) = io::pipe().unwrap();
        client.send(b"hello", &[write.as_fd()]).unwrap();
        client.send(b"again", &[]).unwrap();
        let Received::Packet(5, mut given) = server.receive(&mut buffer).unwrap() else { panic!() };
        assert_eq!(&buffer[..5], b"hello");
        write.write_all(b"a").unwrap();
        drop(write);
        std::fs::File::from(given.remove(0)).write_all(b"b").unwrap();
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ab");
        assert!(matches!(server.receive(&mut buffer).unwrap(), Received::Packet(5, _)));
        drop(client);
        assert!(matches!(server.receive(&mut buffer).unwrap(), Received::End));
    }

    #[test]
    fn a_receiver_with_little_patience_does_not_wait_for_ever() {
        let (a, _b) = Connection::pair().unwrap();
        a.set_patience(Duration::from_millis(10)).unwrap();
        assert!(matches!(a.receive(&mut [0; 10]).unwrap(), Received::Nothing));
    }

    #[test]
    fn a_packet_that_is_too_long_is_no_packet() {
        let (a, b) = Connection::pair().unwrap();
        a.send(&[7; 100], &[]).unwrap();
        assert!(matches!(b.receive(&mut [0; 10]).unwrap(), Received::TooLong));
        drop(b);
        assert!(a.send(b"x", &[]).is_err());
    }

    #[test]
    fn a_reader_that_does_not_read_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let listener = Listener::bind(&path).unwrap();
        let _client = Connection::connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap().unwrap();
        let mut sent = 0;
        while server.send(&[0; 4096], &[]).unwrap() == Sent::Whole {
            sent += 1;
            assert!(sent < 10_000, "the socket's buffer is bounded");
        }
    }
}
