//! The learning switch: one unix socket per machine, one built-in port for the gateway, one thread.
//!
//! `table` decides, `fabric` carries, `wire` is the only file that touches a cable's socket. A port outlives its
//! cable: a machine that is killed and started again connects to the same path and replaces what was there.
//! Everything runs on the caller's `LocalSet`; nothing here waits for a machine.

mod fabric;
mod pcap;
mod table;
mod wire;

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};

use crate::Network;
use crate::error::{Doing, Result, on};
pub use fabric::PortStats;
pub(crate) use fabric::{Fabric, PortId};
pub use wire::Framing;
use wire::Intake;

/// Frames that are carried for one machine before the others get their turn.
const BURST: usize = 64;

/// How often a capture reaches the disk.
const CAPTURE_FLUSH: Duration = Duration::from_secs(1);

/// A switch and its tasks; dropping it cuts every cable.
#[derive(Debug)]
pub struct Switch {
    fabric: Rc<RefCell<Fabric>>,
    tasks: Vec<AbortHandle>,
}

impl Switch {
    /// A switch without machines. Must be called on a `LocalSet`.
    pub fn new(network: Network, capture: Option<&Path>) -> Result<Self> {
        let pcap = capture.map(pcap::Pcap::create).transpose()?;
        let captures = pcap.is_some();
        let fabric = Rc::new(RefCell::new(Fabric::new(Rc::new(network), pcap)));
        let mut tasks = Vec::new();
        if captures {
            let fabric = Rc::clone(&fabric);
            let flushes = spawn_local(async move {
                loop {
                    tokio::time::sleep(CAPTURE_FLUSH).await;
                    fabric.borrow_mut().flush_capture();
                }
            });
            tasks.push(flushes.abort_handle());
        }
        Ok(Switch { fabric, tasks })
    }

    /// Opens a port: listens at `path`, where the machine's network card will connect.
    pub fn open_port(&mut self, name: &str, path: &Path, framing: Framing) -> Result<()> {
        let kind = match framing {
            Framing::Message => SocketType::SEQPACKET,
            Framing::Stream => SocketType::STREAM,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, kind, flags, None).doing(|| "making a socket".to_owned())?;
        let address = SocketAddrUnix::new(path).doing(on("naming a socket", path))?;
        bind(&socket, &address).doing(on("binding a socket to", path))?;
        listen(&socket, 4).doing(on("listening at", path))?;
        let listener = crate::sys::watch(socket).doing(on("watching", path))?;
        let port = self.fabric.borrow_mut().add_port(name.to_owned());
        let task =
            spawn_local(accept_cables(Rc::clone(&self.fabric), port, listener, framing, name.to_owned()));
        self.tasks.push(task.abort_handle());
        Ok(())
    }

    /// Each port by name, whether a machine is plugged in, and what it has carried.
    pub fn stats(&self) -> Vec<(String, bool, PortStats)> {
        self.fabric.borrow().stats().map(|(name, plugged, stats)| (name.to_owned(), plugged, stats)).collect()
    }

    pub(crate) fn fabric(&self) -> Rc<RefCell<Fabric>> {
        Rc::clone(&self.fabric)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.fabric.borrow_mut().flush_capture();
    }
}

/// Accepts one cable after the other; a new one takes the place of the old.
async fn accept_cables(
    fabric: Rc<RefCell<Fabric>>,
    port: PortId,
    listener: AsyncFd<OwnedFd>,
    framing: Framing,
    name: String,
) {
    let mut current: Option<Cable> = None;
    loop {
        let Ok(mut ready) = listener.readable().await else { return };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let accepted = ready.try_io(|listener| Ok(accept_with(listener.get_ref(), flags)?));
        match accepted {
            Err(_would_block) => {}
            Ok(Ok(socket)) => match crate::sys::watch(socket) {
                Ok(socket) => {
                    tracing::debug!(machine = name, "cable plugged in");
                    drop(current.take());
                    current = Some(Cable::plug(&fabric, port, Rc::new(socket), framing, &name));
                }
                Err(error) => tracing::warn!(machine = name, %error, "cable refused"),
            },
            Ok(Err(error)) => {
                // Out of descriptors, most likely: try again, but not at full speed.
                tracing::warn!(machine = name, %error, "cable not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The two tasks of a plugged cable; dropping it stops them and takes the cable out.
struct Cable {
    fabric: Rc<RefCell<Fabric>>,
    port: PortId,
    socket: Rc<AsyncFd<OwnedFd>>,
    tasks: [AbortHandle; 2],
}

impl Cable {
    fn plug(
        fabric: &Rc<RefCell<Fabric>>,
        port: PortId,
        socket: Rc<AsyncFd<OwnedFd>>,
        framing: Framing,
        name: &str,
    ) -> Self {
        let backlog = fabric.borrow_mut().plug(port, Rc::clone(&socket), framing);
        let reads = read_frames(Rc::clone(fabric), port, Rc::clone(&socket), framing, name.to_owned());
        let writes = flush_backlog(Rc::clone(fabric), port, Rc::clone(&socket), backlog);
        let tasks = [spawn_local(reads).abort_handle(), spawn_local(writes).abort_handle()];
        Cable { fabric: Rc::clone(fabric), port, socket, tasks }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.fabric.borrow_mut().unplug(self.port, &self.socket);
    }
}

async fn read_frames(
    fabric: Rc<RefCell<Fabric>>,
    port: PortId,
    socket: Rc<AsyncFd<OwnedFd>>,
    framing: Framing,
    name: String,
) {
    let mut intake = Intake::new(framing);
    let ended = 'cable: loop {
        let mut ready = match socket.readable().await {
            Ok(ready) => ready,
            Err(error) => break Err(error),
        };
        for _ in 0..BURST {
            let read = ready.try_io(|socket| {
                intake.read(socket.get_ref(), |frame| fabric.borrow_mut().forward(port, frame))
            });
            match read {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => break 'cable Ok(()),
                Ok(Err(error)) => break 'cable Err(error),
                Err(_would_block) => break,
            }
        }
        tokio::task::yield_now().await;
    };
    match ended {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
            tracing::warn!(machine = name, %error, "cable broken");
        }
        _ => tracing::debug!(machine = name, "cable taken out"),
    }
    fabric.borrow_mut().unplug(port, &socket);
}

async fn flush_backlog(
    fabric: Rc<RefCell<Fabric>>,
    port: PortId,
    socket: Rc<AsyncFd<OwnedFd>>,
    backlog: Rc<Notify>,
) {
    loop {
        backlog.notified().await;
        loop {
            let Ok(mut ready) = socket.writable().await else { return };
            let flushed = ready.try_io(|_| match fabric.borrow_mut().wire(port, &socket) {
                Some(wire) => wire.flush(),
                None => Ok(()),
            });
            match flushed {
                Ok(Ok(())) => break,
                // The reader sees the same end and unplugs.
                Ok(Err(_broken)) => return,
                Err(_would_block) => {}
            }
        }
    }
}
