//! The operator's description of a cluster: one short TOML, checked as a whole.
//!
//! What a single value may be is in its type; what must hold between values (quorum
//! sizes, overlapping networks, an endpoint that a certificate can cover) is checked by
//! [`Plan::parse`], and every complaint has the line and column it is about.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;

use ipnet::Ipv4Net;
use machine_config::machine::{Drill, Endpoint};
use machine_config::{ClusterName, MachineName, Role};
use serde::Deserialize;
use toml::Spanned;

/// The port of the Kubernetes API when the plan names none.
const API_PORT: u16 = 6443;
/// The Service subnet has the API's address, the DNS's and some room: no smaller than this.
const SMALLEST_SERVICE_PREFIX: u8 = 24;
/// Every node takes a /24 of the pod subnet (`--node-cidr-mask-size`).
const NODE_POD_PREFIX: u8 = 24;

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

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPlan {
    name: Spanned<ClusterName>,
    endpoint: Option<Spanned<RawEndpoint>>,
    network: RawNetwork,
    #[serde(rename = "machine", default)]
    machines: Vec<RawMachine>,
    #[serde(default)]
    lifetimes: Lifetimes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawEndpoint {
    host: String,
    #[serde(default = "api_port")]
    port: u16,
}

fn api_port() -> u16 {
    API_PORT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawNetwork {
    machines: Spanned<Ipv4Net>,
    gateway: Option<Spanned<Ipv4Addr>>,
    #[serde(default)]
    resolvers: Vec<Ipv4Addr>,
    #[serde(default)]
    time_servers: Vec<Ipv4Addr>,
    pods: Option<Spanned<Ipv4Net>>,
    services: Option<Spanned<Ipv4Net>>,
    domain: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawMachine {
    name: Spanned<MachineName>,
    role: Spanned<Role>,
    address: Spanned<Ipv4Addr>,
    mac: Option<Spanned<String>>,
    #[serde(default)]
    addressing: PlannedAddressing,
    #[serde(default, rename = "drill")]
    drills: Vec<Drill>,
}

/// Everything that is wrong with a plan, each with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    issues: Vec<Issue>,
}

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl PlanError {
    /// The complaints, in the order of the file.
    #[must_use]
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, issue) in self.issues.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "line {}, column {}: {}", issue.line, issue.column, issue.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanError {}

/// Collects complaints against places in `text`.
struct Complaints<'a> {
    text: &'a str,
    found: Vec<(usize, String)>,
}

impl Complaints<'_> {
    fn add(&mut self, at: Range<usize>, message: String) {
        self.found.push((at.start, message));
    }

    fn finish(mut self) -> Result<(), PlanError> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort();
        let issues = self.found.into_iter().map(|(at, message)| place(self.text, at, message)).collect();
        Err(PlanError { issues })
    }
}

fn place(text: &str, at: usize, message: String) -> Issue {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Issue { line, column, message }
}

impl Plan {
    /// Reads and checks a cluster description.
    ///
    /// # Errors
    /// Every complaint about it, each with line and column.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let raw: RawPlan = toml::from_str(text).map_err(|error| PlanError {
            issues: vec![place(text, error.span().map_or(0, |span| span.start), error.message().to_owned())],
        })?;
        let mut complaints = Complaints { text, found: Vec::new() };
        check_networks(&raw, &mut complaints);
        check_machines(&raw, &mut complaints);
        check_roles(&raw, &mut complaints);
        let endpoint = endpoint(&raw, &mut complaints);
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
        })
    }

    /// The machines of `role`.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &PlannedMachine> {
        self.machines.iter().filter(move |machine| machine.role == role)
    }
}

fn subnet(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from(octets), prefix)
}

fn default_pods() -> Ipv4Net {
    subnet([10, 244, 0, 0], 16)
}

fn default_services() -> Ipv4Net {
    subnet([10, 96, 0, 0], 16)
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn check_networks(raw: &RawPlan, complaints: &mut Complaints<'_>) {
    let network = &raw.network;
    let whole = raw.network.machines.span();
    let pods = network.pods.as_ref().map_or((default_pods(), whole.clone()), |s| (*s.get_ref(), s.span()));
    let services =
        network.services.as_ref().map_or((default_services(), whole.clone()), |s| (*s.get_ref(), s.span()));
    let machines = *network.machines.get_ref();
    for (a, b, at, names) in [
        (machines, pods.0, &pods.1, ("machines", "pods")),
        (machines, services.0, &services.1, ("machines", "services")),
        (pods.0, services.0, &services.1, ("pods", "services")),
    ] {
        if overlap(a, b) {
            complaints.add(
                at.clone(),
                format!(
                    "the networks of {} ({a}) and {} ({b}) overlap: choose separate ones",
                    names.0, names.1
                ),
            );
        }
    }
    if services.0.prefix_len() > SMALLEST_SERVICE_PREFIX {
        complaints.add(
            services.1,
            format!("{} is too small for Services: /{SMALLEST_SERVICE_PREFIX} at least", services.0),
        );
    }
    let nodes =
        raw.machines.iter().filter(|m| matches!(m.role.get_ref(), Role::Worker | Role::ControlPlane)).count();
    let room = if pods.0.prefix_len() > NODE_POD_PREFIX {
        0
    } else {
        1_usize << (NODE_POD_PREFIX - pods.0.prefix_len()).min(31)
    };
    if nodes > room {
        complaints.add(
            pods.1,
            format!("{} has room for {room} nodes of /{NODE_POD_PREFIX} each, the plan has {nodes}", pods.0),
        );
    }
    if let Some(gateway) = &network.gateway
        && !machines.contains(gateway.get_ref())
    {
        complaints.add(gateway.span(), format!("the gateway {} is not in {machines}", gateway.get_ref()));
    }
    if let Some(domain) = &network.domain
        && !is_domain(domain.get_ref())
    {
        complaints.add(domain.span(), format!("{:?} is not a DNS domain", domain.get_ref()));
    }
}

fn check_machines(raw: &RawPlan, complaints: &mut Complaints<'_>) {
    let machines = *raw.network.machines.get_ref();
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    let mut macs = BTreeMap::new();
    if let Some(gateway) = &raw.network.gateway {
        addresses.insert(*gateway.get_ref(), "the gateway".to_owned());
    }
    for machine in &raw.machines {
        let name = machine.name.get_ref();
        if names.insert(name.clone(), ()).is_some() {
            complaints.add(machine.name.span(), format!("machine {name} is listed twice"));
        }
        let address = *machine.address.get_ref();
        if let Some(other) = addresses.insert(address, format!("machine {name}")) {
            complaints.add(machine.address.span(), format!("{address} is already the address of {other}"));
        }
        let usable =
            machines.contains(&address) && address != machines.network() && address != machines.broadcast();
        if !usable {
            complaints.add(machine.address.span(), format!("{address} is not a host address in {machines}"));
        }
        if let Some(mac) = &machine.mac {
            if !is_mac(mac.get_ref()) {
                complaints.add(
                    mac.span(),
                    format!(
                        "{:?} is not a MAC address of one machine, such as 52:54:00:12:34:56",
                        mac.get_ref()
                    ),
                );
            } else if let Some(other) = macs.insert(mac.get_ref().to_ascii_lowercase(), name.clone()) {
                complaints.add(mac.span(), format!("machine {other} has the same MAC address"));
            }
        }
    }
}

fn check_roles(raw: &RawPlan, complaints: &mut Complaints<'_>) {
    let of = |role: Role| raw.machines.iter().filter(move |m| *m.role.get_ref() == role);
    let etcd = of(Role::Etcd).count();
    if etcd > 0 && etcd.is_multiple_of(2) {
        let at = of(Role::Etcd).next_back().map_or(0..0, |m| m.role.span());
        complaints.add(
            at,
            format!(
                "{etcd} etcd members: an even number needs {} for a majority and survives the loss of {}, no more than {} members would; use 1, 3, 5 or 7",
                etcd / 2 + 1,
                (etcd - 1) / 2,
                etcd - 1,
            ),
        );
    }
    if etcd > 7 {
        let at = of(Role::Etcd).next_back().map_or(0..0, |m| m.role.span());
        complaints.add(at, format!("{etcd} etcd members: more than 7 only slow writes down"));
    }
    if etcd == 0
        && let Some(control_plane) = of(Role::ControlPlane).next()
    {
        complaints.add(
            control_plane.role.span(),
            "a control plane needs etcd: add a machine with role = \"etcd\"".to_owned(),
        );
    }
    if of(Role::ControlPlane).next().is_none() {
        complaints.add(
            raw.name.span(),
            "no machine has role = \"control-plane\": there would be no API to join".to_owned(),
        );
    }
    if of(Role::Lb).next().is_none() && raw.endpoint.is_none() {
        complaints.add(
            raw.name.span(),
            "no machine has role = \"lb\" and no [endpoint] names a balancer of your own".to_owned(),
        );
    }
}

/// The endpoint as written, or the first load balancer.
fn endpoint(raw: &RawPlan, complaints: &mut Complaints<'_>) -> Endpoint {
    let lb = raw.machines.iter().find(|m| *m.role.get_ref() == Role::Lb);
    let Some(spanned) = &raw.endpoint else {
        let host = lb.map_or_else(String::new, |m| m.address.get_ref().to_string());
        return Endpoint { host, port: API_PORT };
    };
    let written = spanned.get_ref();
    match written.host.parse::<Ipv4Addr>() {
        Ok(address) => {
            let networks = &raw.network;
            let inside = [
                networks.pods.as_ref().map_or_else(default_pods, |s| *s.get_ref()),
                networks.services.as_ref().map_or_else(default_services, |s| *s.get_ref()),
            ];
            if address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_broadcast()
            {
                complaints.add(
                    spanned.span(),
                    format!(
                        "{address} cannot be dialled by other machines, so no certificate would cover it"
                    ),
                );
            } else if let Some(net) = inside.iter().find(|net| net.contains(&address)) {
                complaints.add(
                    spanned.span(),
                    format!(
                        "the endpoint {address} lies in the cluster's own {net}, where no balancer can be"
                    ),
                );
            } else if let Some(other) = raw.machines.iter().find(|m| {
                *m.address.get_ref() == address && matches!(m.role.get_ref(), Role::Etcd | Role::Worker)
            }) {
                complaints.add(
                    spanned.span(),
                    format!(
                        "the endpoint is machine {}, a {}, which does not serve the API",
                        other.name.get_ref(),
                        other.role.get_ref()
                    ),
                );
            }
        }
        Err(_) if is_domain(&written.host) => {}
        Err(_) => complaints.add(
            spanned.span(),
            format!(
                "{:?} is neither an IPv4 address nor a DNS name, so no certificate would cover it",
                written.host
            ),
        ),
    }
    if written.port != API_PORT && lb.is_some() {
        complaints.add(
            spanned.span(),
            format!("our load balancers listen on {API_PORT}: use that port, or no lb machines"),
        );
    }
    Endpoint { host: written.host.clone(), port: written.port }
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| label.parse::<MachineName>().is_ok())
        && text.bytes().any(|b| b.is_ascii_lowercase())
}

fn is_mac(text: &str) -> bool {
    let octets: Vec<Option<u8>> = text
        .split(':')
        .map(|octet| if octet.len() == 2 { u8::from_str_radix(octet, 16).ok() } else { None })
        .collect();
    octets.len() == 6
        && octets.iter().all(Option::is_some)
        // The lowest bit of the first octet marks a group address.
        && octets.first().is_some_and(|first| first.is_some_and(|first| first & 1 == 0))
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
            Err(error) => error.issues.into_iter().map(|issue| issue.message).collect(),
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
        assert_eq!((error.issues[0].line, error.issues[0].column), (26, 11));
        let error = Plan::parse(&GOOD.replacen("gateway", "gatevay", 1)).unwrap_err();
        assert_eq!((error.issues[0].line, error.issues[0].column), (6, 1));
        assert!(error.to_string().contains("unknown field `gatevay`"));
    }
}
