//! Machine configs for the agents' tests: one cluster, four roles, real certificates.
//!
//! Only tests use it. Everything is made anew, so a test can alter what it likes.

use std::time::Duration;

use jiff::Timestamp;
use machine_config::machine::{
    Addressing, Api, BootstrapToken, Cluster, ControlPlaneConfig, Endpoint, EtcdConfig, Header, LbConfig,
    Machine, Network, RoleConfig, SCHEMA, WorkerConfig,
};
use machine_config::pem::{Authority, Certificate, PrivateKey, PublicKey, Secret};
use machine_config::{MachineConfig, Role};
use trust::pki::{Minted, Validity};

/// The moment at which the fixture's cluster was made.
pub(crate) fn made() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A new authority, valid for ten years from [`made`].
pub(crate) fn authority(name: &str) -> Authority {
    let Minted { certificate, key } = mint(name);
    Authority { certificate: certificate.try_into().unwrap(), key: key.try_into().unwrap() }
}

fn certificate(name: &str) -> Certificate {
    mint(name).certificate.try_into().unwrap()
}

fn mint(name: &str) -> Minted {
    let ten_years = Duration::from_secs(10 * 365 * 24 * 3600);
    trust::pki::Authority::mint(name, Validity::starting(made(), ten_years).unwrap()).unwrap()
}

fn machine(name: &str, role: Role, last: u8) -> Machine {
    Machine { name: name.parse().unwrap(), role, address: [10, 77, 0, last].into() }
}

fn token() -> BootstrapToken {
    BootstrapToken {
        id: "abcdef".to_owned(),
        secret: Secret::new("0123456789abcdef".to_owned()),
        expires: made() + jiff::SignedDuration::from_hours(24),
    }
}

/// The config of the cluster's machine of `role`: lb1, e1, cp1 or w1.
pub(crate) fn config(role: Role) -> MachineConfig {
    let machines = vec![
        machine("lb1", Role::Lb, 10),
        machine("e1", Role::Etcd, 11),
        machine("cp1", Role::ControlPlane, 12),
        machine("w1", Role::Worker, 21),
    ];
    let own = machines.iter().find(|machine| machine.role == role).unwrap().clone();
    MachineConfig {
        schema: SCHEMA,
        header: Header {
            cluster: "demo".parse().unwrap(),
            machine: own.name,
            mac: None,
            serial: 1,
            issued: made(),
            expires: made() + jiff::SignedDuration::from_hours(24 * 365),
        },
        network: Network {
            mac: None,
            addressing: Addressing::Static {
                subnet: format!("{}/24", own.address).parse().unwrap(),
                gateway: Some([10, 77, 0, 1].into()),
            },
            address: own.address,
            resolvers: vec![[10, 77, 0, 1].into()],
            time_servers: vec![[10, 77, 0, 1].into()],
        },
        cluster: Cluster {
            endpoint: Endpoint { host: "10.77.0.10".to_owned(), port: 6443 },
            pod_subnet: "10.244.0.0/16".parse().unwrap(),
            service_subnet: "10.96.0.0/16".parse().unwrap(),
            domain: "cluster.local".to_owned(),
            machines,
        },
        api: api(),
        role: of_role(role),
        log: None,
        drills: Vec::new(),
    }
}

/// A leaf of the node API; whom it names is not what these tests are about.
fn api() -> Api {
    let Minted { certificate, key } = mint("node-api");
    Api {
        ca: certificate.clone().try_into().unwrap(),
        certificate: certificate.try_into().unwrap(),
        key: key.try_into().unwrap(),
    }
}

fn of_role(role: Role) -> RoleConfig {
    match role {
        Role::Lb => RoleConfig::Lb(LbConfig { kubernetes_ca: certificate("kubernetes") }),
        Role::Etcd => RoleConfig::Etcd(EtcdConfig {
            ca: authority("etcd"),
            client_ca: certificate("etcd-client"),
            cluster_token: "demo-1".to_owned(),
        }),
        Role::ControlPlane => RoleConfig::ControlPlane(ControlPlaneConfig {
            kubernetes_ca: authority("kubernetes"),
            front_proxy_ca: authority("front-proxy"),
            etcd_ca: certificate("etcd"),
            etcd_client_ca: authority("etcd-client"),
            service_account_key: PrivateKey::try_from(trust::pki::key_pair().unwrap().1).unwrap(),
            service_account_public_key: PublicKey::try_from(trust::pki::key_pair().unwrap().0).unwrap(),
            encryption_key: Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
            bootstrap_token: token(),
        }),
        Role::Worker => RoleConfig::Worker(WorkerConfig {
            kubernetes_ca: certificate("kubernetes"),
            bootstrap_token: token(),
        }),
    }
}
