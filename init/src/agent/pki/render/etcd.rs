//! An etcd member: its flags, its certificates, whom it lets in.
//!
//! Clients are let in by certificates of the etcd-client authority, whose key only control
//! planes have; members know each other by etcd's own. Whether the member may start at
//! all (its data may be gone) is the agent's decision, in `task`.

use machine_config::machine::EtcdConfig;
use machine_config::service::Group;
use machine_config::{MachineConfig, Role};
use trust::pki::{Leaf, Usage};

use super::{Rendered, pki};
use crate::agent::paths;
use crate::agent::pki::leaf::{Issuer, ORDINARY, POWERFUL, Wish};

/// etcd refuses writes beyond this; its advice is 8 GiB at most.
const QUOTA_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Where a member answers HTTP: health and the gateway.
pub(super) const HTTP_PORT: u16 = 2382;

pub(super) fn render(config: &MachineConfig, etcd: &EtcdConfig, out: &mut Rendered) {
    out.authorities.insert(Issuer::Etcd, etcd.ca.clone());
    out.text(pki("etcd-ca.crt"), etcd.ca.certificate.as_pem());
    // The second one for the member's own gateway and for etcdctl on this machine.
    let clients = format!("{}\n{}", etcd.client_ca.as_pem().trim_end(), etcd.ca.certificate.as_pem());
    out.text(pki("etcd-clients-ca.crt"), clients);
    out.wishes.extend(wishes(config));
    out.args("etcd", &flags(config, etcd));
}

fn wishes(config: &MachineConfig) -> Vec<Wish> {
    let name = config.header.machine.to_string();
    let address = config.network.address;
    let leaf = |common_name: &str, dns: &[&str], addresses: Vec<std::net::IpAddr>, usage| Leaf {
        common_name: common_name.to_owned(),
        organization: None,
        dns_names: dns.iter().map(|name| (*name).to_owned()).collect(),
        addresses,
        usage,
    };
    let local = [127, 0, 0, 1].into();
    vec![
        Wish {
            name: "etcd-server",
            issuer: Issuer::Etcd,
            // As a client too: the gateway behind the client port calls the member itself with it.
            leaf: leaf(&name, &[&name, "localhost"], vec![address.into(), local], Usage::ClientAndServer),
            lifetime: ORDINARY,
            readers: Group::EtcdKeys,
        },
        Wish {
            name: "etcd-peer",
            issuer: Issuer::Etcd,
            leaf: leaf(&name, &[&name], vec![address.into()], Usage::ClientAndServer),
            lifetime: ORDINARY,
            readers: Group::EtcdKeys,
        },
        Wish {
            name: "etcd-admin",
            issuer: Issuer::Etcd,
            leaf: leaf("etcd-admin", &[], vec![], Usage::Client),
            lifetime: POWERFUL,
            readers: Group::EtcdKeys,
        },
    ]
}

fn flags(config: &MachineConfig, etcd: &EtcdConfig) -> Vec<String> {
    let (name, address) = (&config.header.machine, config.network.address);
    let members: Vec<String> = config
        .cluster
        .of_role(Role::Etcd)
        .map(|member| format!("{}=https://{}:2380", member.name, member.address))
        .collect();
    vec![
        format!("--name={name}"),
        format!("--data-dir={}", paths::ETCD_DATA),
        format!("--initial-cluster={}", members.join(",")),
        format!("--initial-cluster-token={}", etcd.cluster_token),
        "--initial-cluster-state=new".to_owned(),
        format!("--listen-peer-urls=https://{address}:2380"),
        format!("--initial-advertise-peer-urls=https://{address}:2380"),
        format!("--listen-client-urls=https://{address}:2379,https://127.0.0.1:2379"),
        format!("--advertise-client-urls=https://{address}:2379"),
        // HTTP apart from gRPC: on one port with TLS, watches starve under load. Control planes
        // ask here whether the member is ready, with their client certificates.
        format!("--listen-client-http-urls=https://{address}:{HTTP_PORT}"),
        // Health and metrics, on this machine only.
        "--listen-metrics-urls=http://127.0.0.1:2381".to_owned(),
        format!("--cert-file={}", pki("etcd-server.crt")),
        format!("--key-file={}", pki("etcd-server.key")),
        "--client-cert-auth=true".to_owned(),
        format!("--trusted-ca-file={}", pki("etcd-clients-ca.crt")),
        format!("--peer-cert-file={}", pki("etcd-peer.crt")),
        format!("--peer-key-file={}", pki("etcd-peer.key")),
        "--peer-client-cert-auth=true".to_owned(),
        format!("--peer-trusted-ca-file={}", pki("etcd-ca.crt")),
        "--tls-min-version=TLS1.3".to_owned(),
        "--feature-gates=InitialCorruptCheck=true,CompactHashCheck=true".to_owned(),
        "--compact-hash-check-time=1m".to_owned(),
        "--watch-progress-notify-interval=5s".to_owned(),
        format!("--quota-backend-bytes={QUOTA_BYTES}"),
        "--logger=zap".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}
