//! A switch on a thread of its own, and blocking ends of its cables.
//!
//! The switch belongs to the thread it was made on, as in the supervisor, so tests talk to it by messages. Cables are
//! the same two kinds of unix socket that User-mode Linux and QEMU connect with.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use lab::{Framing, Gateway, Host, Mac, Network, PortStats, Switch};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use tokio::sync::{mpsc, oneshot};

/// For what has to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what must not come.
const SOON: Duration = Duration::from_millis(200);

pub fn mac(number: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0x4d, 0, number])
}

pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 100 + number)
}

enum Call {
    Forward(SocketAddrV4, oneshot::Sender<SocketAddr>),
    Stats(oneshot::Sender<Vec<(String, bool, PortStats)>>),
}

/// A running switch with a gateway.
pub struct Net {
    dir: tempfile::TempDir,
    ports: Vec<Framing>,
    calls: Option<mpsc::UnboundedSender<Call>>,
    thread: Option<JoinHandle<()>>,
}

impl Net {
    /// Ports are numbered from 1; machine N has `mac(N)`, `address(N)` and the name mN.
    pub fn start(ports: &[Framing]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hosts = (1..=ports.len() as u8).map(|number| Host {
            name: format!("m{number}"),
            mac: mac(number),
            address: address(number),
        });
        let network = Network {
            gateway: Ipv4Addr::new(10, 77, 0, 1),
            prefix: 24,
            hosts: hosts.collect(),
            names: std::collections::BTreeMap::new(),
        };
        let (calls, inbox) = mpsc::unbounded_channel();
        let (ready, started) = std::sync::mpsc::channel();
        let (ports, root) = (ports.to_vec(), dir.path().to_owned());
        let thread = std::thread::spawn({
            let ports = ports.clone();
            move || serve(network, ports, root, ready, inbox)
        });
        started.recv().unwrap();
        Net { dir, ports, calls: Some(calls), thread: Some(thread) }
    }

    pub fn connect(&self, number: usize) -> Cable {
        let path = self.dir.path().join(format!("p{number}"));
        match self.ports[number - 1] {
            Framing::Message => {
                let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
                connect(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
                Cable::Message(socket)
            }
            Framing::Stream => Cable::Stream(UnixStream::connect(path).unwrap()),
        }
    }

    pub fn forward(&self, number: u8, port: u16) -> SocketAddr {
        let (sender, receiver) = oneshot::channel();
        self.call(Call::Forward(SocketAddrV4::new(address(number), port), sender));
        receiver.blocking_recv().unwrap()
    }

    pub fn stats(&self) -> Vec<(String, bool, PortStats)> {
        let (sender, receiver) = oneshot::channel();
        self.call(Call::Stats(sender));
        receiver.blocking_recv().unwrap()
    }

    fn call(&self, call: Call) {
        self.calls.as_ref().unwrap().send(call).ok().unwrap();
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.calls.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    network: Network,
    ports: Vec<Framing>,
    root: PathBuf,
    ready: std::sync::mpsc::Sender<()>,
    mut inbox: mpsc::UnboundedReceiver<Call>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let mut switch = Switch::new(network, None).unwrap();
        let mut gateway = Gateway::new(&switch);
        for (index, framing) in ports.iter().enumerate() {
            let number = index + 1;
            switch.open_port(&format!("m{number}"), &root.join(format!("p{number}")), *framing).unwrap();
        }
        ready.send(()).unwrap();
        while let Some(call) = inbox.recv().await {
            match call {
                Call::Forward(target, reply) => {
                    let _ = reply.send(gateway.forward(target).await.unwrap());
                }
                Call::Stats(reply) => {
                    let _ = reply.send(switch.stats());
                }
            }
        }
    });
}

/// A machine's end of a cable.
pub enum Cable {
    Message(OwnedFd),
    Stream(UnixStream),
}

impl Cable {
    pub fn send(&mut self, frame: &[u8]) {
        match self {
            Cable::Message(socket) => assert_eq!(send(socket, frame, SendFlags::NOSIGNAL), Ok(frame.len())),
            Cable::Stream(stream) => {
                stream.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(frame).unwrap();
            }
        }
    }

    /// The next frame, which has to come.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        self.receive_within(PATIENCE)
    }

    /// The next frame, if there is one.
    pub fn receive_soon(&mut self) -> Option<Vec<u8>> {
        self.receive_within(SOON)
    }

    pub fn receive_within(&mut self, time: Duration) -> Option<Vec<u8>> {
        match self {
            Cable::Message(socket) => {
                set_socket_timeout(&*socket, Timeout::Recv, Some(time)).unwrap();
                let mut buffer = vec![0; 65_536];
                let (count, _) = recv(&*socket, &mut buffer[..], RecvFlags::empty()).ok()?;
                buffer.truncate(count);
                Some(buffer).filter(|frame| !frame.is_empty())
            }
            Cable::Stream(stream) => {
                stream.set_read_timeout(Some(time)).unwrap();
                let mut header = [0; 4];
                stream.read_exact(&mut header).ok()?;
                let mut frame = vec![0; u32::from_be_bytes(header) as usize];
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.read_exact(&mut frame).unwrap();
                Some(frame)
            }
        }
    }
}
