//! The socket on which services say that they are ready: sd_notify's protocol.
//!
//! A datagram of `KEY=value` lines; the kernel says whose it is. Which pid belongs to which
//! service is `init`'s business.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::PassCred};

/// The longest message that is looked at; systemd's own limit.
const LONGEST_MESSAGE: usize = 4096;

/// The listening end.
#[derive(Debug)]
pub struct Listener(UnixDatagram);

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub pid: i32,
    /// Its lines.
    pub text: String,
}

impl From<OwnedFd> for Listener {
    /// Taken over from an earlier program of this process.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl Listener {
    /// Listens at `path`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, PassCred, &true)?;
        Ok(Self(socket))
    }

    /// The next message that came, if any. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// The kernel's.
    pub fn next(&self) -> io::Result<Option<Message>> {
        let mut buffer = [0; LONGEST_MESSAGE];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = match recvmsg::<()>(self.0.as_raw_fd(), &mut slices, Some(&mut control), flags) {
            Ok(received) => received,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let pid = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        let length = received.bytes;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        Ok(Some(Message { pid: pid.unwrap_or(0), text }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
