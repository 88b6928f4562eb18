//! What is said on a lab's control socket: one JSON document per line, a reply for each request.
//!
//! Types only, shared by the supervisor and `crate::labs::Client`, and the two words that pass between a supervisor
//! and whoever starts it. Both are the same program, so there is no version in it: a lab is always asked by the build
//! that started it, or refuses what it does not know.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::machine::MachineStatus;
use crate::switch::PortStats;

/// What the supervisor writes to its standard output once the machines are being started.
pub(crate) const READY: &str = "ready";

/// What its standard input is told, by whoever started it, to have the lab live on without them.
pub(crate) const DETACH: u8 = b'd';

/// What one can do to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineOrder {
    /// Switch it on.
    Start,
    /// Press its power button; after a while hold it down.
    Stop,
    /// Press its power button, and have it on afterwards.
    Reboot,
    /// Pull the plug.
    Kill,
    /// Press its reset button.
    Reset,
    /// Pull the plug and put it back.
    PowerCycle,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Everything there is to know.
    Status {},
    /// Do something to a machine.
    Machine {
        /// Its name.
        machine: String,
        /// What to do.
        order: MachineOrder,
        /// For `stop` and `reboot`: milliseconds until it is forced.
        #[serde(default, rename = "patience-ms")]
        patience_ms: Option<u64>,
    },
    /// Open another port of the host that leads into the lab.
    Forward {
        /// What it is called.
        name: String,
        /// Where it leads.
        target: SocketAddrV4,
    },
    /// Kill all machines and end.
    Down {},
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done, or under way.
    Done,
    /// To `Status`.
    Status(Box<LabStatus>),
    /// To `Forward`.
    Forward(ForwardStatus),
    /// It was not done.
    Refused(String),
}

/// A forward and the port it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForwardStatus {
    /// What it is called.
    pub name: String,
    /// On the host.
    pub host: SocketAddr,
    /// In the lab.
    pub target: SocketAddrV4,
}

/// What a cable has carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CableStatus {
    /// Whether the machine's card is up.
    pub plugged: bool,
    /// Its counters.
    pub frames: PortStats,
}

/// A running lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LabStatus {
    /// Its name.
    pub name: String,
    /// The kind of its machines.
    pub driver: String,
    /// The supervisor.
    pub pid: u32,
    /// Milliseconds since it started.
    pub up_for_ms: u64,
    /// Whether it goes down with the command that started it.
    pub attached: bool,
    /// Ports of the host that lead into it.
    pub forwards: Vec<ForwardStatus>,
    /// Its machines.
    pub machines: Vec<MachineStatus>,
    /// The switch, by machine.
    pub cables: BTreeMap<String, CableStatus>,
}
