//! From a cluster and images to a lab: which kernel, disks, memory, card and CPU each machine gets.
//!
//! Decisions only; `up` makes the directories and starts it. The order of the disks is slot, data, config for all
//! machines, and nothing inside them relies on it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lab::{Disk, DriverSpec, ForwardSpec, LabSpec, Mac, MachineSpec, Network};
use machine_config::Role;

use super::artifacts::Artifacts;
use super::cpus;
use crate::cluster::Plan;
use crate::cluster::plan::PlannedMachine;

/// The image with the signed config, in each machine's directory.
pub const CONFIG_DISK: &str = "config.img";
/// The blank disk that becomes STATE and DATA.
const DATA_DISK: &str = "data.img";
/// Sparse, so it costs what is written: images are read from the slot, not from here.
const DATA_BYTES: u64 = 8 << 30;
/// How PID 1's last line before a restart ends.
const FAREWELL: &str = "machine: rebooting";
/// What the forward to the API is called.
pub const API: &str = "api";
/// What the forward to a machine's own API is called, before the machine's name.
pub const NODE_API: &str = "node-api/";

/// What the caller wants of a lab.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The lab's name.
    pub name: &'a str,
    /// The kind of machine.
    pub driver: DriverSpec,
    /// Only these machines, if any are named.
    pub only: &'a [String],
    /// Disks of the caller's own in place of blank ones.
    pub data_disks: BTreeMap<String, PathBuf>,
    /// Whether to capture the network.
    pub capture: bool,
}

/// Makes the lab's description.
///
/// # Errors
/// An image is missing, or the wish names machines that are not in the plan.
pub fn describe(
    plan: &Plan,
    wish: Wish<'_>,
    artifacts: impl Fn(Role) -> Result<Artifacts>,
) -> Result<LabSpec> {
    for name in wish.only.iter().chain(wish.data_disks.keys()) {
        if !plan.machines.iter().any(|machine| machine.name.as_str() == name) {
            bail!("cluster {} has no machine named {name}", plan.name);
        }
    }
    let chosen: Vec<(usize, &PlannedMachine)> = plan
        .machines
        .iter()
        .enumerate()
        .filter(|(_, machine)| {
            wish.only.is_empty() || wish.only.iter().any(|name| name == machine.name.as_str())
        })
        .collect();
    let roles: Vec<Role> = chosen.iter().map(|(_, machine)| machine.role).collect();
    // QEMU's machines have more than one thread: the host's scheduler knows better.
    let cpus = match wish.driver {
        DriverSpec::Uml {} => cpus::spread(&roles, &cpus::available()),
        DriverSpec::Qemu { .. } => vec![None; roles.len()],
    };
    let mut machines = Vec::new();
    for ((index, machine), cpu) in chosen.iter().zip(cpus) {
        let artifacts = artifacts(machine.role)?;
        let kernel = match wish.driver {
            DriverSpec::Uml {} => artifacts.uml_kernel,
            DriverSpec::Qemu { .. } => artifacts.kernel,
        };
        for file in [&kernel, &artifacts.initramfs, &artifacts.slot] {
            present(file, machine.role)?;
        }
        let own = wish.data_disks.get(machine.name.as_str());
        let data = match own {
            Some(path) => Disk { path: path.clone(), read_only: false, create_bytes: None },
            None => Disk { path: DATA_DISK.into(), read_only: false, create_bytes: Some(DATA_BYTES) },
        };
        machines.push(MachineSpec {
            name: machine.name.to_string(),
            kernel,
            initramfs: artifacts.initramfs,
            cmdline: artifacts.cmdline,
            disks: vec![
                Disk { path: artifacts.slot, read_only: true, create_bytes: None },
                data,
                Disk { path: CONFIG_DISK.into(), read_only: true, create_bytes: None },
            ],
            memory_mib: memory(machine.role),
            mac: card(machine, *index)?,
            address: machine.address,
            cpu,
        });
    }
    let api = api(plan);
    let node_apis: Vec<ForwardSpec> = machines
        .iter()
        .map(|machine| ForwardSpec {
            name: format!("{NODE_API}{}", machine.name),
            target: SocketAddrV4::new(machine.address, node_api::PORT),
        })
        .collect();
    Ok(LabSpec {
        name: wish.name.to_owned(),
        driver: wish.driver,
        network: network(plan, api),
        machines,
        forwards: api
            .map(|target| ForwardSpec { name: API.to_owned(), target })
            .into_iter()
            .chain(node_apis)
            .collect(),
        capture: wish.capture,
        farewell: Some(FAREWELL.to_owned()),
    })
}

/// A file that is missing is better told now than by each machine on its own.
fn present(file: &Path, role: Role) -> Result<()> {
    if !file.is_file() {
        bail!("{} is not there (make it with: slipway build {role})", file.display());
    }
    Ok(())
}

/// MiB, measured: less makes the control plane stall, more is not used.
fn memory(role: Role) -> u32 {
    match role {
        Role::Lb => 256,
        Role::Etcd => 512,
        Role::ControlPlane => 2048,
        Role::Worker => 1536,
    }
}

/// The card that the plan names, or one of the lab's own range.
fn card(machine: &PlannedMachine, index: usize) -> Result<Mac> {
    match &machine.mac {
        Some(mac) => mac.parse().with_context(|| format!("reading the MAC address of {}", machine.name)),
        None => {
            let [high, low] = u16::try_from(index + 1).context("numbering the machines")?.to_be_bytes();
            Ok(Mac([0x52, 0x54, 0x00, 0x4d, high, low]))
        }
    }
}

/// Where the API is: the endpoint if it is an address, or else the first load balancer.
fn api(plan: &Plan) -> Option<SocketAddrV4> {
    let balancer = || plan.of_role(Role::Lb).next().map(|machine| machine.address);
    let address = plan.endpoint.host.parse().ok().or_else(balancer)?;
    Some(SocketAddrV4::new(address, plan.endpoint.port))
}

fn network(plan: &Plan, api: Option<SocketAddrV4>) -> Network {
    let first = Ipv4Addr::from_bits(plan.network.machines.network().to_bits() | 1);
    let by_name = plan.endpoint.host.parse::<Ipv4Addr>().is_err();
    let names = api.filter(|_| by_name).map(|api| (plan.endpoint.host.clone(), *api.ip()));
    Network {
        gateway: plan.network.gateway.unwrap_or(first),
        prefix: plan.network.machines.prefix_len(),
        hosts: Vec::new(),
        names: names.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any file that exists will do for an image.
    fn artifacts(_role: Role) -> Result<Artifacts> {
        let file = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        Ok(Artifacts {
            slot: file(),
            initramfs: file(),
            kernel: "/nonexistent/vmlinuz".into(),
            uml_kernel: file(),
            cmdline: "slipway.root=ab".into(),
        })
    }

    fn wish<'a>(only: &'a [String]) -> Wish<'a> {
        Wish { name: "demo", driver: DriverSpec::Uml {}, only, data_disks: BTreeMap::new(), capture: false }
    }

    fn demo() -> Plan {
        Plan::parse(include_str!("../../cluster/demo.toml")).unwrap()
    }

    #[test]
    fn the_demo_cluster_becomes_a_lab_that_the_lab_accepts() {
        let spec = describe(&demo(), wish(&[]), artifacts).unwrap();
        assert_eq!(spec.problems(), Vec::<String>::new());
        assert_eq!(spec.machines.len(), demo().machines.len());
        assert_eq!(spec.forwards[0].target, "10.77.0.10:6443".parse().unwrap());
        let own = spec.forwards.iter().find(|forward| forward.name == "node-api/w1").unwrap();
        assert_eq!(own.target, "10.77.0.13:7443".parse().unwrap());
        let worker = spec.machines.iter().find(|machine| machine.name == "w1").unwrap();
        assert!(worker.disks[0].read_only && !worker.disks[1].read_only && worker.disks[2].read_only);
        assert_eq!((worker.memory_mib, worker.address), (1536, Ipv4Addr::new(10, 77, 0, 13)));
    }

    #[test]
    fn a_kernel_that_was_not_built_is_missed_before_anything_starts() {
        let program = lab::QemuProgram::installed("/usr/bin/qemu-system-x86_64".into());
        let driver = DriverSpec::Qemu { program, accelerator: lab::Accelerator::Tcg };
        let error = describe(&demo(), Wish { driver, ..wish(&[]) }, artifacts).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/vmlinuz") && error.contains("slipway build"), "{error}");
    }

    #[test]
    fn one_machine_alone_keeps_the_card_it_has_in_the_whole_cluster() {
        let whole = describe(&demo(), wish(&[]), artifacts).unwrap();
        let only = ["w1".to_owned()];
        let alone = describe(&demo(), wish(&only), artifacts).unwrap();
        let in_whole = whole.machines.iter().find(|machine| machine.name == "w1").unwrap();
        assert_eq!((alone.machines.len(), alone.machines[0].mac), (1, in_whole.mac));
    }

    #[test]
    fn a_machine_that_is_not_in_the_plan_is_refused() {
        let only = ["w9".to_owned()];
        assert!(describe(&demo(), wish(&only), artifacts).unwrap_err().to_string().contains("w9"));
    }

    #[test]
    fn an_endpoint_by_name_is_known_to_the_labs_dns() {
        let text = include_str!("../../cluster/demo.toml").replacen(
            "[network]",
            "endpoint = { host = \"api.demo.internal\" }\n[network]",
            1,
        );
        let spec = describe(&Plan::parse(&text).unwrap(), wish(&[]), artifacts).unwrap();
        assert_eq!(spec.network.names["api.demo.internal"], Ipv4Addr::new(10, 77, 0, 10));
    }
}
