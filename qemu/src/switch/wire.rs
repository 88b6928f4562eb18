//! One connected cable: a unix socket that carries Ethernet frames, as messages (User-mode Linux) or as a length-prefixed
//! stream (QEMU).
//!
//! Frames leave straight from the buffer they were received in. Only when the other side does not keep up is a frame
//! copied into a bounded queue; beyond that bound it is dropped, as on any switch.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// Bytes that may wait for one machine: a few milliseconds of its fastest, so that a burst of TCP survives a
/// machine that was just scheduled away, without seconds of stale frames for one that is stopped.
const QUEUE_LIMIT: usize = 1 << 20;

/// The largest frame that is carried, jumbo frames included.
pub(super) const FRAME_LIMIT: usize = 65_550;

/// How frames are told apart on the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A frame per message of a `SOCK_SEQPACKET` socket: the `bess` transport of User-mode Linux.
    Message,
    /// A big-endian 32-bit length before each frame on a `SOCK_STREAM` socket: QEMU's `-netdev stream`.
    Stream,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Now,
    Queued,
    Dropped,
}

/// The sending half and what waits in it.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Rc<AsyncFd<OwnedFd>>,
    framing: Framing,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// How much of the first waiting element has left already; streams only.
    head_sent: usize,
    backlog: Rc<Notify>,
}

impl Wire {
    pub(super) fn new(socket: Rc<AsyncFd<OwnedFd>>, framing: Framing) -> Self {
        let backlog = Rc::new(Notify::new());
        Wire { socket, framing, waiting: VecDeque::new(), waiting_bytes: 0, head_sent: 0, backlog }
    }

    /// Woken whenever something had to wait; the flusher listens to it.
    pub(super) fn backlog(&self) -> Rc<Notify> {
        Rc::clone(&self.backlog)
    }

    pub(super) fn is(&self, socket: &Rc<AsyncFd<OwnedFd>>) -> bool {
        Rc::ptr_eq(&self.socket, socket)
    }

    /// Sends a frame or queues it; never blocks. A broken socket drops: its reader is the one that notices.
    pub(super) fn send(&mut self, frame: &[u8]) -> Sent {
        if !self.waiting.is_empty() {
            return self.queue(frame, 0);
        }
        match self.send_now(frame) {
            Ok(done) if done >= self.wire_length(frame) => Sent::Now,
            Ok(done) => self.queue(frame, done),
            Err(Errno::AGAIN | Errno::NOBUFS) => self.queue(frame, 0),
            Err(_) => Sent::Dropped,
        }
    }

    fn wire_length(&self, frame: &[u8]) -> usize {
        match self.framing {
            Framing::Message => frame.len(),
            Framing::Stream => frame.len() + 4,
        }
    }

    fn send_now(&self, frame: &[u8]) -> rustix::io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match self.framing {
            Framing::Message => send(self.socket.get_ref(), frame, flags),
            Framing::Stream => {
                let length = stream_header(frame);
                let parts = [IoSlice::new(&length), IoSlice::new(frame)];
                sendmsg(self.socket.get_ref(), &parts, &mut SendAncillaryBuffer::default(), flags)
            }
        }
    }

    fn queue(&mut self, frame: &[u8], already_sent: usize) -> Sent {
        // A frame of which a part has left must be finished, or the stream loses its framing.
        if already_sent == 0 && self.waiting_bytes + frame.len() > QUEUE_LIMIT {
            return Sent::Dropped;
        }
        let mut bytes = Vec::with_capacity(self.wire_length(frame));
        if self.framing == Framing::Stream {
            bytes.extend_from_slice(&stream_header(frame));
        }
        bytes.extend_from_slice(frame);
        if already_sent > 0 {
            self.head_sent = already_sent;
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(bytes);
        self.backlog.notify_one();
        Sent::Queued
    }

    /// Sends what waits; `WouldBlock` when the other side is still full.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(head) = self.waiting.front() {
            let rest = head.get(self.head_sent..).unwrap_or_default();
            let sent = send(self.socket.get_ref(), rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
            self.head_sent += sent;
            if self.head_sent >= head.len() {
                self.waiting_bytes -= head.len();
                self.head_sent = 0;
                self.waiting.pop_front();
            }
        }
        Ok(())
    }
}

fn stream_header(frame: &[u8]) -> [u8; 4] {
    u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// The receiving half: hands out complete frames.
#[derive(Debug)]
pub(super) struct Intake {
    framing: Framing,
    buffer: Vec<u8>,
    filled: usize,
}

impl Intake {
    pub(super) fn new(framing: Framing) -> Self {
        let capacity = match framing {
            Framing::Message => FRAME_LIMIT,
            // Room for one frame of the largest size and whatever else one read brings along.
            Framing::Stream => 2 * (FRAME_LIMIT + 4),
        };
        Intake { framing, buffer: vec![0; capacity], filled: 0 }
    }

    /// Reads once and gives every complete frame to `each`. `Ok(false)` is the end of the connection.
    pub(super) fn read(&mut self, socket: &OwnedFd, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let (count, _) = recv(socket, room, RecvFlags::DONTWAIT)?;
        if count == 0 {
            return Ok(false);
        }
        match self.framing {
            Framing::Message => each(self.buffer.get(..count).unwrap_or_default()),
            Framing::Stream => {
                self.filled += count;
                let used = split_stream(self.buffer.get(..self.filled).unwrap_or_default(), &mut each)?;
                self.buffer.copy_within(used..self.filled, 0);
                self.filled -= used;
            }
        }
        Ok(true)
    }
}

/// Hands out the complete frames at the start of `bytes` and says how many bytes they took.
fn split_stream(bytes: &[u8], each: &mut impl FnMut(&[u8])) -> io::Result<usize> {
    let mut used = 0;
    while let Some((header, rest)) = bytes.get(used..).unwrap_or_default().split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if length > FRAME_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        let Some(frame) = rest.get(..length) else { break };
        each(frame);
        used += 4 + length;
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_into_frames_wherever_the_reads_fall() {
        let mut stream = Vec::new();
        for frame in [&b"first"[..], b"", b"the third"] {
            stream.extend_from_slice(&stream_header(frame));
            stream.extend_from_slice(frame);
        }
        for split in 0..=stream.len() {
            let mut frames = Vec::new();
            let used = split_stream(&stream[..split], &mut |frame| frames.push(frame.to_vec())).unwrap();
            split_stream(&stream[used..], &mut |frame| frames.push(frame.to_vec())).unwrap();
            assert_eq!(frames, [b"first".to_vec(), b"".to_vec(), b"the third".to_vec()]);
        }
    }

    #[test]
    fn a_length_that_no_frame_has_ends_the_stream() {
        assert!(split_stream(&[0x7f, 0, 0, 0], &mut |_| ()).is_err());
    }
}
