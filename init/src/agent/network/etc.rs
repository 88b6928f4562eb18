//! What stands in /etc about names: hostname, hosts, resolv.conf.
//!
//! Texts only; `task` writes them to tmpfs, where the image's links point.

use std::fmt::Write;
use std::net::Ipv4Addr;

use machine_config::PlainConfig;

/// glibc and musl look at no more.
const RESOLVERS_MAX: usize = 3;

/// The files' names and texts.
pub(super) fn files(config: &PlainConfig, resolvers: &[Ipv4Addr]) -> [(&'static str, String); 3] {
    [
        ("hostname", format!("{}\n", config.header.machine)),
        ("hosts", hosts(config)),
        ("resolv.conf", resolv_conf(resolvers)),
    ]
}

/// The cluster's machines find each other without DNS.
fn hosts(config: &PlainConfig) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for machine in &config.cluster.machines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {}", machine.address, machine.name);
    }
    text
}

/// The kubelet hands it on to pods that ask for the node's resolvers: no loopback address.
fn resolv_conf(resolvers: &[Ipv4Addr]) -> String {
    let mut text = String::new();
    for resolver in resolvers.iter().filter(|resolver| !resolver.is_loopback()).take(RESOLVERS_MAX) {
        let _ = writeln!(text, "nameserver {resolver}");
    }
    text
}

#[cfg(test)]
mod tests {
    use machine_config::Role;

    use super::*;
    use crate::agent::fixture::config;

    #[test]
    fn the_clusters_machines_have_names() {
        let [hostname, hosts, _] = files(&config(Role::Worker).plain(), &[]);
        assert_eq!(hostname, ("hostname", "w1\n".to_owned()));
        assert!(hosts.1.contains("10.77.0.12 cp1\n"));
        assert!(hosts.1.starts_with("127.0.0.1 localhost\n"));
    }

    #[test]
    fn no_more_resolvers_than_anybody_reads_and_none_on_loopback() {
        let resolvers =
            [[127, 0, 0, 53], [1, 0, 0, 1], [1, 0, 0, 2], [1, 0, 0, 3], [1, 0, 0, 4]].map(Ipv4Addr::from);
        let [_, _, (_, text)] = files(&config(Role::Worker).plain(), &resolvers);
        assert_eq!(text, "nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\n");
    }
}
