//! The gateway's TCP/IP stack: answers ARP and ping, and carries TCP connections from the host into the lab.
//!
//! The stack is smoltcp on the switch's built-in port; `device` is the port, `stack` the sockets and their clock,
//! `forward` the host's side. Datagram services are answered earlier, in `crate::services`.

mod device;
mod forward;
mod stack;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;

use tokio::net::TcpListener;
use tokio::task::{AbortHandle, spawn_local};

use crate::error::{Doing, Result};
use crate::switch::Switch;
use stack::Stack;

/// The gateway and its forwards; dropping it closes them all.
#[derive(Debug)]
pub struct Gateway {
    stack: Rc<RefCell<Stack>>,
    tasks: Vec<AbortHandle>,
}

impl Gateway {
    /// Brings up the stack on the switch's own port. Must be called on a `LocalSet`.
    pub fn new(switch: &Switch) -> Self {
        let stack = Rc::new(RefCell::new(Stack::new(switch.fabric())));
        let tasks = vec![spawn_local(stack::run(Rc::clone(&stack))).abort_handle()];
        Gateway { stack, tasks }
    }

    /// Opens a port of the host's loopback that leads to `target`; the kernel chooses which.
    pub async fn forward(&mut self, target: SocketAddrV4) -> Result<SocketAddr> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).await.doing(|| format!("opening a port for {target}"))?;
        let address = listener.local_addr().doing(|| format!("opening a port for {target}"))?;
        let task = spawn_local(forward::accept(listener, target, Rc::clone(&self.stack)));
        self.tasks.push(task.abort_handle());
        Ok(address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
