//! What a TCP connection has sent and the other end has not confirmed.
//!
//! `unsafe` is for one ioctl that neither rustix nor nix wraps.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes that were written to `socket` and are not confirmed yet.
///
/// # Errors
/// Those of ioctl(2).
pub fn unconfirmed(socket: impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the duration of the call, and SIOCOUTQ (TIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::try_from(bytes).unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_the_other_end_has_is_confirmed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"hello").unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while unconfirmed(&client).unwrap() > 0 {
            assert!(Instant::now() < end);
        }
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 65536]).is_ok() {}
        assert!(unconfirmed(&client).unwrap() > 0, "nobody reads");
    }
}
