//! The operator's description of a cluster: one short TOML, checked as a whole.
//!
//! What a single value may be is in its type; what must hold between values (quorum
//! sizes, overlapping networks, an endpoint that a certificate can cover) is checked by
//! [`Plan::parse`], and every complaint has the line and column it is about: `raw` is the
//! file as written, `checks` what must hold, `complaints` how it is told.

mod checks;
mod complaints;
mod raw;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use machine_config::machine::{Drill, Endpoint, Log};
use machine_config::{ClusterName, MachineName, Role};
use serde::Deserialize;
use toml::Spanned;

pub use complaints::{Issue, PlanError};

use complaints::Complaints;
use raw::{RawPlan, default_pods, default_services};

/// A checked cluster description.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The cluster's name.
    pub name: ClusterName,
    /// Where clients find the API.
    pub endpoint: Endpoint,
    /// The machines' network and the cluster's.
    pub network: Network,
    /// Every machine.
    pub machines: Vec<PlannedMachine>,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// Where every machine's lines go besides its own disk.
    pub log: Option<Log>,
}

/// Networks of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Where the machines are.
    pub machines: Ipv4Net,
    /// Their default route.
    pub gateway: Option<Ipv4Addr>,
    /// DNS servers for the machines.
    pub resolvers: Vec<Ipv4Addr>,
    /// SNTP servers for the machines.
    pub time_servers: Vec<Ipv4Addr>,
    /// Addresses of pods.
    pub pods: Ipv4Net,
    /// Virtual addresses of Services.
    pub services: Ipv4Net,
    /// The cluster's DNS zone.
    pub domain: String,
}

/// One machine of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedMachine {
    /// Its name.
    pub name: MachineName,
    /// Its role.
    pub role: Role,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its NIC's MAC address: ties the config to the hardware.
    pub mac: Option<String>,
    /// Whether it gets its address from a DHCP server.
    pub addressing: PlannedAddressing,
    /// Failures it rehearses.
    pub drills: Vec<Drill>,
}

/// Where a machine's address comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedAddressing {
    /// From the config itself.
    #[default]
    Static,
    /// From a DHCP server, which must know the reservation.
    Dhcp,
}

/// How long things live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Lifetimes {
    /// Days until a machine refuses its config.
    pub config_days: u32,
    /// Hours in which new nodes may join.
    pub bootstrap_token_hours: u32,
    /// Days until the cluster's CAs end.
    pub authority_days: u32,
    /// Days until the operator's certificate ends.
    pub admin_days: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { config_days: 365, bootstrap_token_hours: 24, authority_days: 3650, admin_days: 90 }
    }
}

impl Plan {
    /// Reads and checks a cluster description.
    ///
    /// # Errors
    /// Every complaint about it, each with line and column.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let raw: RawPlan = toml::from_str(text).map_err(|error| PlanError::of_toml(text, &error))?;
        let mut complaints = Complaints::about(text);
        checks::networks(&raw, &mut complaints);
        checks::machines(&raw, &mut complaints);
        checks::roles(&raw, &mut complaints);
        let endpoint = checks::endpoint(&raw, &mut complaints);
        complaints.finish()?;
        Ok(Self {
            name: raw.name.into_inner(),
            endpoint,
            network: Network {
                machines: raw.network.machines.get_ref().trunc(),
                gateway: raw.network.gateway.map(Spanned::into_inner),
                resolvers: raw.network.resolvers,
                time_servers: raw.network.time_servers,
                pods: raw.network.pods.map_or_else(default_pods, Spanned::into_inner),
                services: raw.network.services.map_or_else(default_services, Spanned::into_inner),
                domain: raw.network.domain.map_or_else(|| "cluster.local".to_owned(), Spanned::into_inner),
            },
            machines: raw
                .machines
                .into_iter()
                .map(|machine| PlannedMachine {
                    name: machine.name.into_inner(),
                    role: machine.role.into_inner(),
                    address: machine.address.into_inner(),
                    mac: machine.mac.map(|mac| mac.into_inner().to_ascii_lowercase()),
                    addressing: machine.addressing,
                    drills: machine.drills,
                })
                .collect(),
            lifetimes: raw.lifetimes,
            log: raw.log,
        })
    }

    /// The machines of `role`.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &PlannedMachine> {
        self.machines.iter().filter(move |machine| machine.role == role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "demo"

[network]
machines = "10.77.0.0/24"
gateway = "10.77.0.1"

[[machine]]
name = "lb1"
role = "lb"
address = "10.77.0.10"

[[machine]]
name = "etcd1"
role = "etcd"
address = "10.77.0.11"

[[machine]]
name = "cp1"
role = "control-plane"
address = "10.77.0.12"

[[machine]]
name = "w1"
role = "worker"
address = "10.77.0.13"
"#;

    /// The plan with `from` replaced by `to`, and the messages it earns.
    fn complaints(from: &str, to: &str) -> Vec<String> {
        assert!(GOOD.contains(from), "{from}");
        match Plan::parse(&GOOD.replacen(from, to, 1)) {
            Ok(_) => Vec::new(),
            Err(error) => error.issues().iter().map(|issue| issue.message.clone()).collect(),
        }
    }

    fn refused(from: &str, to: &str, because: &str) {
        let found = complaints(from, to);
        assert!(found.iter().any(|message| message.contains(because)), "{found:?} should say {because:?}");
    }

    #[test]
    fn a_short_plan_gets_good_defaults() {
        let plan = Plan::parse(GOOD).unwrap();
        assert_eq!(plan.endpoint, Endpoint { host: "10.77.0.10".to_owned(), port: 6443 });
        assert_eq!(plan.network.pods.to_string(), "10.244.0.0/16");
        assert_eq!(plan.network.domain, "cluster.local");
    }

    #[test]
    fn an_even_number_of_etcd_members_is_refused() {
        let second = "[[machine]]\nname = \"etcd2\"\nrole = \"etcd\"\naddress = \"10.77.0.20\"\n[[machine]]\nname = \"w1\"";
        refused("[[machine]]\nname = \"w1\"", second, "even number");
    }

    #[test]
    fn overlapping_networks_are_refused() {
        refused("gateway =", "pods = \"10.77.0.0/16\"\ngateway =", "overlap");
        refused("gateway =", "services = \"10.244.128.0/20\"\ngateway =", "overlap");
    }

    #[test]
    fn duplicate_names_addresses_and_macs_are_refused() {
        refused("name = \"w1\"", "name = \"cp1\"", "listed twice");
        refused("10.77.0.13", "10.77.0.12", "already the address of machine cp1");
        refused("10.77.0.13", "10.77.0.1", "already the address of the gateway");
        let same = "address = \"10.77.0.12\"\nmac = \"52:54:00:00:00:01\"";
        let text = GOOD.replacen("address = \"10.77.0.12\"", same, 1).replacen(
            "address = \"10.77.0.13\"",
            "address = \"10.77.0.13\"\nmac = \"52:54:00:00:00:01\"",
            1,
        );
        assert!(Plan::parse(&text).unwrap_err().to_string().contains("same MAC"));
    }

    #[test]
    fn an_address_outside_the_machines_network_is_refused() {
        refused("10.77.0.13", "10.78.0.13", "not a host address");
        refused("10.77.0.13", "10.77.0.255", "not a host address");
    }

    #[test]
    fn a_control_plane_without_etcd_is_refused() {
        refused("role = \"etcd\"", "role = \"worker\"", "needs etcd");
    }

    #[test]
    fn an_endpoint_that_no_certificate_would_cover_is_refused() {
        for (host, because) in [
            ("127.0.0.1", "no certificate would cover it"),
            ("0.0.0.0", "no certificate would cover it"),
            ("api_demo", "no certificate would cover it"),
            ("10.96.0.1", "lies in the cluster's own"),
            ("10.77.0.13", "does not serve the API"),
        ] {
            refused("[network]", &format!("endpoint = {{ host = \"{host}\" }}\n[network]"), because);
        }
        assert!(complaints("[network]", "endpoint = { host = \"api.demo.example\" }\n[network]").is_empty());
    }

    #[test]
    fn complaints_point_at_line_and_column() {
        let error = Plan::parse(&GOOD.replacen("10.77.0.13", "10.77.0.12", 1)).unwrap_err();
        assert_eq!((error.issues()[0].line, error.issues()[0].column), (26, 11));
        let error = Plan::parse(&GOOD.replacen("gateway", "gatevay", 1)).unwrap_err();
        assert_eq!((error.issues()[0].line, error.issues()[0].column), (6, 1));
        assert!(error.to_string().contains("unknown field `gatevay`"));
    }
}
