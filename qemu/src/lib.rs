//! Machines on one host, and the wires between them, without root and without containers.
//!
//! A lab is a set of machines (User-mode Linux or QEMU), a learning switch that every network card is plugged into
//! by a unix socket, and a supervisor process that owns both. The switch has a port of its own, the gateway, which
//! answers ARP, ping, DHCP, DNS and SNTP and carries TCP forwards from the host into the lab's network.
//! What runs inside the machines is none of this crate's business: it knows kernels, disks, memory and console lines.

mod client;
mod error;
mod gateway;
mod labs;
mod mac;
mod machine;
mod network;
mod protocol;
mod services;
mod spec;
mod supervisor;
mod switch;
mod sys;

pub use client::Client;
pub use error::{Error, Result};
pub use gateway::Gateway;
pub use labs::{LabDir, Labs, Listed, Tether};
pub use mac::{Mac, NotAMac};
pub use machine::{
    Accelerator, CRASH_LIMIT, CRASH_WINDOW, Disk, LAB_PREFIX, MachineSpec, MachineStatus, Off, POWER_ON,
    PowerState, QemuProgram, kvm_works,
};
pub use network::{Host, Network};
pub use protocol::{CableStatus, ForwardStatus, LabStatus, MachineOrder};
pub use spec::{DriverSpec, ForwardSpec, LabSpec};
pub use supervisor::supervise;
pub use switch::{Framing, PortStats, Switch};
