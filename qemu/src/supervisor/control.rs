//! The control socket's server: reads a request per line, answers it from the lab.
//!
//! Every client has a task of its own, so one that says nothing holds up nobody. Orders are handed to the machines'
//! tasks and answered at once; whoever wants to see them carried out asks for the status again.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::Lab;
use crate::error::{Doing, Result, chain, on};
use crate::machine::Order;
use crate::protocol::{CableStatus, ForwardStatus, LabStatus, MachineOrder, Reply, Request};

/// A machine that was asked to shut down has this long, if nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any request of ours.
const LINE_LIMIT: u64 = 64 << 10;

pub(super) fn listen(path: &Path) -> Result<UnixListener> {
    UnixListener::bind(path).doing(on("listening at", path))
}

pub(super) async fn serve(listener: UnixListener, lab: Rc<Lab>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    clients.spawn_local(converse(stream, Rc::clone(&lab)));
                }
                Err(error) => {
                    tracing::warn!(%error, "control connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn converse(stream: UnixStream, lab: Rc<Lab>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        match (&mut reader).take(LINE_LIMIT).read_line(&mut line).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        let (reply, end) = match serde_json::from_str(&line) {
            Ok(Request::Down {}) => (Reply::Done, true),
            Ok(request) => (answer(request, &lab).await, false),
            Err(error) => (Reply::Refused(format!("not a request: {error}")), false),
        };
        let Ok(mut text) = serde_json::to_string(&reply) else { return };
        text.push('\n');
        let written = writer.write_all(text.as_bytes()).await;
        if end {
            lab.end.notify_one();
        }
        if written.is_err() {
            return;
        }
    }
}

async fn answer(request: Request, lab: &Lab) -> Reply {
    match request {
        Request::Status {} => Reply::Status(Box::new(status(lab))),
        Request::Machine { machine, order, patience_ms } => {
            let Some(found) = lab.machines.iter().find(|known| known.name() == machine) else {
                return Reply::Refused(format!("lab {} has no machine named {machine}", lab.spec.name));
            };
            let patience = patience_ms.map_or(PATIENCE, Duration::from_millis);
            found.order(match order {
                MachineOrder::Start => Order::Start,
                MachineOrder::Stop => Order::Stop(patience),
                MachineOrder::Reboot => Order::Reboot(patience),
                MachineOrder::Kill => Order::Kill,
                MachineOrder::Reset => Order::Reset,
                MachineOrder::PowerCycle => Order::Cycle,
            });
            Reply::Done
        }
        Request::Forward { name, target } => {
            // One forward at a time: the lock is held while the port is opened, and by nobody else.
            match lab.gateway.write().await.forward(target).await {
                Ok(host) => {
                    let forward = ForwardStatus { name, host, target };
                    lab.forwards.borrow_mut().push(forward.clone());
                    Reply::Forward(forward)
                }
                Err(error) => Reply::Refused(chain(&error)),
            }
        }
        Request::Down {} => Reply::Done,
    }
}

fn status(lab: &Lab) -> LabStatus {
    let cables = lab.switch.stats().into_iter();
    LabStatus {
        name: lab.spec.name.clone(),
        driver: lab.spec.driver.name().to_owned(),
        pid: std::process::id(),
        up_for_ms: u64::try_from(lab.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        attached: lab.attached.get(),
        forwards: lab.forwards.borrow().clone(),
        machines: lab.machines.iter().map(crate::machine::Machine::status).collect(),
        cables: cables.map(|(name, plugged, frames)| (name, CableStatus { plugged, frames })).collect(),
    }
}
