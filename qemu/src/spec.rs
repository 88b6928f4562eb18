//! A whole lab as data: what its supervisor reads when it starts, and all that it ever knows.
//!
//! Made by the caller, checked by `problems`, kept as `lab.json`. What belongs to one machine is in
//! `crate::machine::MachineSpec`, what belongs to its network in `crate::Network`.

use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

use crate::Network;
use crate::machine::{Accelerator, MachineSpec, QemuProgram};

/// Which kind of machine a lab has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DriverSpec {
    /// User-mode Linux.
    Uml {},
    /// QEMU.
    Qemu {
        /// The program.
        program: QemuProgram,
        /// Who executes.
        accelerator: Accelerator,
    },
}

impl DriverSpec {
    /// One word for people.
    pub fn name(&self) -> &'static str {
        match self {
            DriverSpec::Uml {} => "uml",
            DriverSpec::Qemu { accelerator: Accelerator::Kvm, .. } => "qemu (kvm)",
            DriverSpec::Qemu { accelerator: Accelerator::Tcg, .. } => "qemu (tcg)",
        }
    }
}

/// A port of the host's loopback that leads into the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForwardSpec {
    /// What it is called in the status.
    pub name: String,
    /// Where it leads.
    pub target: SocketAddrV4,
}

/// A lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LabSpec {
    /// Its name; also that of its directory.
    pub name: String,
    /// The kind of its machines.
    pub driver: DriverSpec,
    /// Its network, without the machines: their reservations follow from theirs.
    pub network: Network,
    /// Its machines.
    pub machines: Vec<MachineSpec>,
    /// Its forwards.
    #[serde(default)]
    pub forwards: Vec<ForwardSpec>,
    /// Whether to capture what crosses the switch.
    #[serde(default)]
    pub capture: bool,
    /// How the last console line of a guest ends that is about to restart.
    #[serde(default)]
    pub farewell: Option<String>,
}

impl LabSpec {
    /// Why this lab cannot be: names and cards that are there twice, paths that depend on a working directory.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !is_name(&self.name) {
            problems.push(format!("lab name {:?} is not made of a-z, 0-9 and -", self.name));
        }
        for (index, machine) in self.machines.iter().enumerate() {
            let name = &machine.name;
            if !is_name(name) {
                problems.push(format!("machine name {name:?} is not made of a-z, 0-9 and -"));
            }
            let earlier = self.machines.iter().take(index);
            for other in earlier {
                if other.name == *name {
                    problems.push(format!("there are two machines named {name}"));
                }
                if other.mac == machine.mac || other.address == machine.address {
                    problems.push(format!("{name} and {} share a card or an address", other.name));
                }
            }
            for path in [&machine.kernel, &machine.initramfs] {
                if !path.is_absolute() {
                    problems.push(format!("{name}: {} is not an absolute path", path.display()));
                }
            }
        }
        problems
    }
}

/// Names become directories and parts of socket paths.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 40 && text.bytes().all(allowed) && !text.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_their_directory_are_refused() {
        for name in ["", "..", "a/b", "-x", "Ä", &"x".repeat(41)] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_name("cp-1"));
    }
}
