//! Reads /proc and /sys, for whoever asks at that moment.
//!
//! Everything blocks, though never for long, and what is gone in between is left out. A root other than `/` is for
//! tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_config::service::{Place, Table};
use node_api::reply::{Disk, Link, Memory, Mount, Pressure, Process, Route, Usage};

use trust::pki::Facts;

use super::{disks, memory, mounts, network, processes, usage};
use crate::agent::paths;
use crate::cgroup;

/// Where the kernel shows itself.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl Host {
    /// The machine below `root`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A text, empty when it cannot be read.
    #[must_use]
    pub fn text(&self, path: &str) -> String {
        self.read(path).unwrap_or_default()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read(self.path(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names in a directory, in order.
    fn names(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(directory)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// Every process, by pid.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let process = |pid: &String| {
            pid.parse::<u32>().ok()?;
            let text = |file: &str| self.read(&format!("proc/{pid}/{file}"));
            processes::parse(processes::Texts {
                stat: &text("stat")?,
                status: &text("status")?,
                cgroup: &text("cgroup").unwrap_or_default(),
                cmdline: text("cmdline").unwrap_or_default().as_bytes(),
            })
        };
        let mut found: Vec<Process> = self.names("proc").iter().filter_map(process).collect();
        found.sort_unstable_by_key(|process| process.pid);
        found
    }

    /// What is mounted, with sizes. Never asks a file system of the network: it might not answer.
    #[must_use]
    pub fn mounts(&self) -> Vec<Mount> {
        let mut found = mounts::parse(&self.text("proc/self/mounts"));
        for mount in &mut found {
            if matches!(mount.kind.as_str(), "nfs" | "nfs4" | "cifs" | "ceph" | "9p")
                || mount.kind.starts_with("fuse")
            {
                continue;
            }
            if let Ok((size, available)) = node_sys::mount::space(&self.path(&mount.target))
                && size > 0
            {
                (mount.size_bytes, mount.available_bytes) = (Some(size), Some(available));
            }
        }
        found
    }

    /// Every disk.
    #[must_use]
    pub fn disks(&self) -> Vec<Disk> {
        let disk = |name: &String| {
            let directory = format!("sys/block/{name}");
            let partitions = self.names(&directory).into_iter().filter_map(|part| {
                let file = |file: &str| self.read(&format!("{directory}/{part}/{file}"));
                file("partition")?;
                disks::partition(&part, file)
            });
            let file = |file: &str| self.read(&format!("{directory}/{file}"));
            disks::disk(name, file, self.names(&format!("{directory}/holders")), partitions.collect())
        };
        self.names("sys/block").iter().filter_map(disk).collect()
    }

    /// Every link; addresses by the link's number.
    #[must_use]
    pub fn links(&self, addresses: &BTreeMap<u32, Vec<String>>) -> Vec<Link> {
        let link = |name: &String| {
            let file = |file: &str| self.read(&format!("sys/class/net/{name}/{file}"));
            let index = file("ifindex")?.trim().parse().ok()?;
            network::link(name, file, addresses.get(&index).cloned().unwrap_or_default())
        };
        let mut links: Vec<Link> = self.names("sys/class/net").iter().filter_map(link).collect();
        links.sort_unstable_by_key(|link| link.index);
        links
    }

    /// Every route, of IPv4 and then of IPv6.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = network::routes(&self.text("proc/net/route"));
        routes.extend(network::routes6(&self.text("proc/net/ipv6_route")));
        routes
    }

    /// Whom the machine asks for names.
    #[must_use]
    pub fn resolvers(&self) -> Vec<String> {
        network::resolvers(&self.text("etc/resolv.conf"))
    }

    /// Whom each service of the image waits for.
    #[must_use]
    pub fn needs(&self) -> BTreeMap<String, Vec<String>> {
        let table = fs::read(self.path(paths::SERVICES)).ok().and_then(|bytes| Table::decode(&bytes).ok());
        let units = table.map(|table| table.units).unwrap_or_default();
        let name = |place: Place| Some(units.get(place.index())?.name.to_string());
        units
            .iter()
            .map(|unit| {
                let needs = unit.edges.iter().filter_map(|edge| name(edge.to)).collect();
                (unit.name.to_string(), needs)
            })
            .collect()
    }

    /// What a service has used.
    #[must_use]
    pub fn usage(&self, service: &str) -> Option<Usage> {
        usage::usage(|file| self.read(&format!("{}/{service}/{file}", cgroup::SERVICES)))
    }

    /// Memory.
    #[must_use]
    pub fn memory(&self) -> Memory {
        memory::memory(&self.text("proc/meminfo"))
    }

    /// Load.
    #[must_use]
    pub fn load(&self) -> [f64; 3] {
        memory::load(&self.text("proc/loadavg"))
    }

    /// Pressure on each resource that the kernel measures.
    #[must_use]
    pub fn pressure(&self) -> Vec<Pressure> {
        ["cpu", "memory", "io"]
            .into_iter()
            .filter_map(|resource| {
                memory::pressure(resource, &self.read(&format!("proc/pressure/{resource}"))?)
            })
            .collect()
    }

    /// The certificates in these directories that everybody may read, by name, and when they end.
    #[must_use]
    pub fn certificates(&self, directories: &[&str]) -> Vec<(String, Timestamp)> {
        let mut found = Vec::new();
        for directory in directories {
            for file in self.names(directory) {
                let Some(name) = file.strip_suffix(".crt") else { continue };
                let Some(text) = self.read(&format!("{directory}/{file}")) else { continue };
                if let Ok(facts) = Facts::from_pem(&text) {
                    let directory = directory.rsplit('/').next().unwrap_or_default();
                    found.push((format!("{directory}/{name}"), facts.not_after));
                }
            }
        }
        found
    }

    /// The kernel's version.
    #[must_use]
    pub fn kernel(&self) -> String {
        self.text("proc/sys/kernel/osrelease").trim().to_owned()
    }

    /// This boot's id, 32 hexadecimal digits.
    #[must_use]
    pub fn boot_id(&self) -> String {
        self.text("proc/sys/kernel/random/boot_id").trim().replace('-', "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_machine_can_be_looked_at() {
        let host = Host::default();
        let own = std::process::id();
        let found = host.processes();
        assert!(found.iter().any(|process| process.pid == own && !process.command.is_empty()));
        assert!(host.mounts().iter().any(|mount| mount.target == "/"));
        assert!(host.links(&BTreeMap::new()).iter().any(|link| link.name == "lo"));
        assert!(host.memory().total_bytes > host.memory().available_bytes);
        assert_eq!(host.boot_id().len(), 32);
    }

    #[test]
    fn routes_of_both_families_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        let net = dir.path().join("proc/net");
        fs::create_dir_all(&net).unwrap();
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let four = "eth0\t00000000\t01004D0A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
        fs::write(net.join("route"), format!("{head}{four}")).unwrap();
        let (any, none) = ("fe800000000000000000000000000000 40", "00000000000000000000000000000000");
        let six = format!("{any} {none} 00 {none} 00000100 00000001 00000000 00000001     eth0\n");
        fs::write(net.join("ipv6_route"), six).unwrap();
        let routes = Host::at(dir.path()).routes();
        let to: Vec<&str> = routes.iter().map(|route| route.destination.as_str()).collect();
        assert_eq!(to, ["default", "fe80::/64"]);
    }

    #[test]
    fn a_machine_without_anything_shows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        assert!(host.processes().is_empty() && host.mounts().is_empty() && host.disks().is_empty());
        assert!(host.pressure().is_empty() && host.usage("x").is_none());
    }
}
