//! What must hold between the values of a cluster description for a cluster to work.
//!
//! Quorum sizes, networks that must not overlap, addresses that must be unique and inside, an
//! endpoint that a certificate can cover. Each check adds its complaints and goes on, so that
//! all are told. What a value by itself may be is its type's to say (`raw`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use machine_config::machine::Endpoint;
use machine_config::{MachineName, Role};

use super::complaints::Complaints;
use super::raw::{API_PORT, RawPlan, default_pods, default_services};

/// The Service subnet has the API's address, the DNS's and some room: no smaller than this.
const SMALLEST_SERVICE_PREFIX: u8 = 24;
/// Every node takes a /24 of the pod subnet (`--node-cidr-mask-size`).
const NODE_POD_PREFIX: u8 = 24;

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

pub(super) fn networks(raw: &RawPlan, complaints: &mut Complaints<'_>) {
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

pub(super) fn machines(raw: &RawPlan, complaints: &mut Complaints<'_>) {
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

pub(super) fn roles(raw: &RawPlan, complaints: &mut Complaints<'_>) {
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
pub(super) fn endpoint(raw: &RawPlan, complaints: &mut Complaints<'_>) -> Endpoint {
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
