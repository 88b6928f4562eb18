//! The socket on which services say that they are ready: sd_notify's protocol.
//!
//! A datagram of `KEY=value` lines; the kernel says whose it is, by number and by descriptor:
//! numbers come again, and a message may be read when its sender is long gone. Which pid belongs
//! to which service is `init`'s business.
#![allow(unsafe_code)]

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::PassCred};

use crate::packet::DESCRIPTORS_MAX;

/// The longest message that is looked at; systemd's own limit.
const LONGEST_MESSAGE: usize = 4096;
/// From linux/socket.h: the sender as a pidfd.
const SCM_PIDFD: libc::c_int = 4;

/// The listening end.
#[derive(Debug)]
pub struct Listener(UnixDatagram);

/// One message.
#[derive(Debug)]
pub struct Message {
    /// Who sent it: the number that it had then.
    pub pid: i32,
    /// Its lines.
    pub text: String,
    sender: Option<OwnedFd>,
}

impl Message {
    /// Whether its sender was not reaped yet, so that what was just read by its number was about it
    /// and not about somebody who has the number now.
    #[must_use]
    pub fn sender_is_there(&self) -> bool {
        let Some(sender) = &self.sender else { return false };
        // SAFETY: numbers and a null pointer; signal 0 is never sent.
        let sent = unsafe {
            let no_info = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, sender.as_raw_fd(), 0, no_info, 0)
        };
        sent == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
    }
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
        let on: libc::c_int = 1;
        let len = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
        // SAFETY: `on` is alive and as long as is said.
        let set = unsafe {
            let socket = socket.as_raw_fd();
            libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_PASSPIDFD, (&raw const on).cast(), len)
        };
        if set == 0 { Ok(Self(socket)) } else { Err(io::Error::last_os_error()) }
    }

    /// The next message that came, if any. Bytes that are not UTF-8 are replaced; descriptors that
    /// came with it are closed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn next(&self) -> io::Result<Option<Message>> {
        let mut buffer = [0; LONGEST_MESSAGE];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        // Room for all that may come: the sender's descriptors are handed over first, and what does not fit is lost.
        let mut control =
            nix::cmsg_space!(nix::sys::socket::UnixCredentials, RawFd, [RawFd; DESCRIPTORS_MAX]);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = match recvmsg::<()>(self.0.as_raw_fd(), &mut slices, Some(&mut control), flags) {
            Ok(received) => received,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (mut pid, mut sender) = (0, None);
        for message in received.cmsgs()? {
            match message {
                ControlMessageOwned::ScmCredentials(credentials) => pid = credentials.pid(),
                ControlMessageOwned::ScmRights(descriptors) => {
                    descriptors.into_iter().for_each(|descriptor| {
                        // SAFETY: the kernel made it for us with this message; nobody else has it.
                        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
                    })
                }
                ControlMessageOwned::Unknown(message) if message.cmsg_header.cmsg_type == SCM_PIDFD => {
                    let number = message.data_bytes.first_chunk().map(|bytes| RawFd::from_ne_bytes(*bytes));
                    // An errno stands there for a sender that is gone already.
                    // SAFETY: the kernel made it for us with this message; nobody else has it.
                    sender = number
                        .filter(|number| *number >= 0)
                        .map(|number| unsafe { OwnedFd::from_raw_fd(number) });
                }
                _ => {}
            }
        }
        let length = received.bytes;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        Ok(Some(Message { pid, text, sender }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Write as _};
    use std::process::Command;

    use nix::sys::socket::{ControlMessage, sendmsg};

    use super::*;

    fn open_descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    fn a_sender_is_known_and_there_until_it_is_reaped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listener = Listener::bind(&path).unwrap();
        assert!(listener.next().unwrap().is_none());
        UnixDatagram::unbound().unwrap().send_to(b"READY=1", &path).unwrap();
        let own = listener.next().unwrap().unwrap();
        assert_eq!((own.pid, own.text.as_str()), (i32::try_from(std::process::id()).unwrap(), "READY=1"));
        assert!(own.sender_is_there());
        let code = format!("import socket; socket.socket(1, 2).sendto(b'READY=1', '{}')", path.display());
        let Ok(mut child) = Command::new("python3").args(["-c", &code]).spawn() else {
            let _ = writeln!(std::io::stdout(), "\nSKIPPED: python3 is not installed");
            return;
        };
        let message = loop {
            match listener.next().unwrap() {
                Some(message) => break message,
                None => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        assert_eq!(message.pid, i32::try_from(child.id()).unwrap());
        assert!(message.sender_is_there(), "running, or dead and not reaped");
        child.wait().unwrap();
        assert!(!message.sender_is_there());
    }

    #[test]
    fn descriptors_that_come_with_a_message_do_not_pile_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listener = Listener::bind(&path).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(&path).unwrap();
        let before = open_descriptors();
        let descriptors = vec![socket.as_raw_fd(); DESCRIPTORS_MAX];
        for _ in 0..3 {
            let rights = [ControlMessage::ScmRights(&descriptors)];
            sendmsg::<()>(
                socket.as_raw_fd(),
                &[IoSlice::new(b"FDSTORE=1")],
                &rights,
                MsgFlags::empty(),
                None,
            )
            .unwrap();
            let message = listener.next().unwrap().unwrap();
            assert!(message.sender_is_there(), "there was room for the sender, too");
        }
        // Other tests open some at the same time, but not hundreds.
        assert!(open_descriptors() < before + 200);
    }
}
