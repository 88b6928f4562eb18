//! How the machines of running labs are reached from the host: a port of its loopback for each one's own API.
//!
//! The kernel chooses the ports when a lab starts, and the lab's supervisor knows them; `cmd::node` asks here before
//! it dials a machine's address, which only the lab's own switch knows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use super::note::Note;
use super::{labs, setup};

/// A running lab.
#[derive(Debug)]
pub struct Reachable {
    /// Its name.
    pub name: String,
    /// The directory of its cluster.
    pub cluster: PathBuf,
    /// Where each machine's own API is on this host.
    pub machines: BTreeMap<String, SocketAddr>,
}

/// The running labs of this user. One that goes down meanwhile is left out.
///
/// # Errors
/// The directory of labs can't be read.
pub fn running() -> Result<Vec<Reachable>> {
    let labs = labs()?;
    let mut found = Vec::new();
    for lab in labs.list()?.into_iter().filter(|lab| lab.running) {
        let Ok(note) = Note::read(&labs.dir(&lab.name)) else { continue };
        let Ok(status) = labs.open(&lab.name).and_then(|mut client| client.status()) else { continue };
        let port = |forward: &lab::ForwardStatus| {
            Some((forward.name.strip_prefix(setup::NODE_API)?.to_owned(), forward.host))
        };
        let machines = status.forwards.iter().filter_map(port).collect();
        found.push(Reachable { name: lab.name, cluster: note.cluster, machines });
    }
    Ok(found)
}
