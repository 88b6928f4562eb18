//! The sockets of the gateway, and the task that gives the stack its turn when a frame, a socket or a timer asks for it.
//!
//! `Connection` is all that the rest sees: a TCP connection whose waiting is a future and whose buffers are read and
//! written in place. Nothing here knows about the host's side of a forward.

use std::cell::RefCell;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use tokio::sync::Notify;

use super::device::Card;
use crate::Network;
use crate::switch::Fabric;

/// Bytes that a connection may have under way in each direction. The round trip is a fraction of a millisecond, so
/// this does not limit the speed; it bounds the memory of many connections.
const BUFFER: usize = 128 << 10;
/// A silent connection is probed this often, and given up after `SILENCE`: a machine that lost its power says nothing.
const PROBE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(15);
const SILENCE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);
/// How long the other side's kernel has for the handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// The ports that connections leave from (RFC 6335, dynamic ports).
const FIRST_PORT: u16 = 49_152;

/// The stack; shared by the task that runs it and the connections that use it.
pub(super) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    card: Card,
    frames: Rc<Notify>,
    poke: Rc<Notify>,
    started: Instant,
    next_port: u16,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("card", &self.card).finish_non_exhaustive()
    }
}

impl Stack {
    pub(super) fn new(fabric: Rc<RefCell<Fabric>>) -> Self {
        let (address, prefix) = fabric.borrow().gateway();
        let frames = fabric.borrow().inbox_filled();
        let mut card = Card::new(fabric);
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(Network::GATEWAY_MAC.0)));
        config.random_seed = RandomState::new().hash_one(std::process::id());
        let mut interface = Interface::new(config, &mut card, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The list is empty and has room for at least one.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(address), prefix));
        });
        let spread = RandomState::new().hash_one(address) % u64::from(u16::MAX - FIRST_PORT);
        Stack {
            interface,
            sockets: SocketSet::new(Vec::new()),
            card,
            frames,
            poke: Rc::new(Notify::new()),
            started: Instant::now(),
            // A new lab must not reuse the ports that machines remember from the one before.
            next_port: FIRST_PORT + u16::try_from(spread).unwrap_or_default(),
        }
    }

    /// One turn: everything received is processed, everything due is sent. Says when the next one is due.
    fn turn(&mut self) -> Option<Duration> {
        let now = smoltcp::time::Instant::from_micros(
            i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX),
        );
        self.interface.poll(now, &mut self.card, &mut self.sockets);
        self.interface.poll_delay(now, &self.sockets).map(Into::into)
    }

    fn port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        port
    }
}

/// Runs the stack until it is dropped.
pub(super) async fn run(stack: Rc<RefCell<Stack>>) {
    let (frames, poke) = {
        let stack = stack.borrow();
        (Rc::clone(&stack.frames), Rc::clone(&stack.poke))
    };
    loop {
        let delay = stack.borrow_mut().turn();
        let timer = async {
            match delay {
                Some(delay) => tokio::time::sleep(delay).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = frames.notified() => {}
            () = poke.notified() => {}
            () = timer => {}
        }
    }
}

/// Why a connection has nothing more to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The other side has said all it wanted to.
    Finished,
    /// The other side is gone, or broke the connection off.
    Broken,
}

/// One TCP connection into the lab. Dropping it resets what is still open.
#[derive(Debug)]
pub(super) struct Connection {
    stack: Rc<RefCell<Stack>>,
    handle: SocketHandle,
}

impl Connection {
    /// Connects, within `CONNECT`.
    pub(super) async fn open(stack: &Rc<RefCell<Stack>>, target: SocketAddrV4) -> Result<Self, Ended> {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_keep_alive(Some(PROBE));
        socket.set_timeout(Some(SILENCE));
        socket.set_nagle_enabled(false);
        let connection = {
            let mut inner = stack.borrow_mut();
            let port = inner.port();
            let handle = inner.sockets.add(socket);
            let Stack { interface, sockets, .. } = &mut *inner;
            let socket = sockets.get_mut::<tcp::Socket>(handle);
            let started = socket.connect(interface.context(), (*target.ip(), target.port()), port);
            let connection = Connection { stack: Rc::clone(stack), handle };
            if let Err(error) = started {
                drop(inner);
                tracing::debug!(%target, %error, "connection not possible");
                return Err(Ended::Broken);
            }
            connection
        };
        connection.poke();
        match tokio::time::timeout(CONNECT, connection.established()).await {
            Ok(result) => result.map(|()| connection),
            Err(_elapsed) => Err(Ended::Broken),
        }
    }

    async fn established(&self) -> Result<(), Ended> {
        poll_fn(|context| {
            self.with(|socket| match socket.state() {
                State::Closed => Poll::Ready(Err(Ended::Broken)),
                State::SynSent | State::SynReceived | State::Listen => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(Ok(())),
            })
        })
        .await
    }

    /// Waits until there is room to send into; an error when nobody listens any more.
    pub(super) async fn room(&self) -> Result<(), Ended> {
        poll_fn(|context| {
            self.with(|socket| {
                if !socket.may_send() {
                    Poll::Ready(Err(Ended::Broken))
                } else if socket.can_send() {
                    Poll::Ready(Ok(()))
                } else {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Waits until the other side cannot be sent to any more.
    pub(super) async fn gone(&self) {
        poll_fn(|context| {
            self.with(|socket| {
                if socket.may_send() {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
        })
        .await;
    }

    /// Waits until there is something to read; `Err` is the end.
    pub(super) async fn data(&self) -> Result<(), Ended> {
        poll_fn(|context| {
            self.with(|socket| {
                if socket.can_recv() {
                    Poll::Ready(Ok(()))
                } else if socket.may_recv() {
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                } else if socket.state() == State::Closed {
                    Poll::Ready(Err(Ended::Broken))
                } else {
                    Poll::Ready(Err(Ended::Finished))
                }
            })
        })
        .await
    }

    /// Lets `fill` write into the send buffer; it says how many bytes it wrote.
    pub(super) fn send<R>(&self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Ended> {
        let result = self.with(|socket| socket.send(fill)).map_err(|_| Ended::Broken);
        self.poke();
        result
    }

    /// Lets `take` read from the receive buffer; it says how many bytes it took.
    pub(super) fn receive<R>(&self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Ended> {
        let result = self.with(|socket| socket.recv(|bytes| take(bytes))).map_err(|_| Ended::Finished);
        self.poke();
        result
    }

    /// Says that nothing more will be sent; receiving goes on.
    pub(super) fn finish(&self) {
        self.with(tcp::Socket::close);
        self.poke();
    }

    /// Waits, not for long, until both sides know that it is over.
    pub(super) async fn settled(&self) {
        let over = poll_fn(|context| {
            self.with(|socket| match socket.state() {
                State::Closed | State::TimeWait => Poll::Ready(()),
                _ => {
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                }
            })
        });
        if tokio::time::timeout(CONNECT, over).await.is_ok() {
            // The last acknowledgement is sent with a delay.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut tcp::Socket<'static>) -> R) -> R {
        act(self.stack.borrow_mut().sockets.get_mut(self.handle))
    }

    fn poke(&self) {
        self.stack.borrow().poke.notify_one();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The reset that `abort` asks for is only sent by a turn of the stack that still has the socket.
        self.with(tcp::Socket::abort);
        let mut stack = self.stack.borrow_mut();
        stack.turn();
        stack.sockets.remove(self.handle);
    }
}
