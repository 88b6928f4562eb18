//! One machine config per machine, holding only what its role needs.
//!
//! Pure: plan + secrets + serial + time -> configs. Least privilege is decided here and
//! nowhere else: a worker gets no private CA key, a control plane not etcd's CA key, an etcd
//! member no Kubernetes key, an lb nothing but its own node-API leaf, which every machine has.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::{SignedDuration, Timestamp};
use machine_config::Role;
use machine_config::machine::{
    Addressing, BootstrapToken, Cluster, ControlPlaneConfig, EtcdConfig, Header, LbConfig, Machine,
    MachineConfig, Network, RoleConfig, SCHEMA, WorkerConfig,
};

use super::node_api::{NodeApi, NodeApiError};
use super::plan::{Plan, PlannedAddressing, PlannedMachine};
use super::secrets::Secrets;

/// Why there are no configs.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A lifetime of the plan leads beyond the end of the calendar.
    #[error("dating the configs: {0}")]
    Dates(#[source] jiff::Error),
    /// A machine's node-API certificate could not be made.
    #[error(transparent)]
    NodeApi(#[from] NodeApiError),
}

/// Makes every machine's config, in the plan's order.
///
/// # Errors
/// [`IssueError`].
pub fn configs(
    plan: &Plan,
    secrets: &Secrets,
    serial: u64,
    now: Timestamp,
) -> Result<Vec<MachineConfig>, IssueError> {
    let lifetimes = plan.lifetimes;
    let after = |hours: i64| now.checked_add(SignedDuration::from_hours(hours)).map_err(IssueError::Dates);
    let expires = after(i64::from(lifetimes.config_days) * 24)?;
    let authority = NodeApi::of(secrets)?;
    let token = BootstrapToken {
        id: secrets.bootstrap_token_id.clone(),
        secret: secrets.bootstrap_token_secret.clone(),
        expires: after(i64::from(lifetimes.bootstrap_token_hours))?,
    };
    let cluster = Cluster {
        endpoint: plan.endpoint.clone(),
        pod_subnet: plan.network.pods,
        service_subnet: plan.network.services,
        domain: plan.network.domain.clone(),
        machines: plan
            .machines
            .iter()
            .map(|machine| Machine {
                name: machine.name.clone(),
                role: machine.role,
                address: machine.address,
            })
            .collect(),
    };
    let config = |machine: &PlannedMachine| -> Result<MachineConfig, IssueError> {
        Ok(MachineConfig {
            schema: SCHEMA,
            header: Header {
                cluster: plan.name.clone(),
                machine: machine.name.clone(),
                mac: machine.mac.clone(),
                serial,
                issued: now,
                expires,
            },
            network: Network {
                mac: None,
                addressing: addressing(plan, machine),
                address: machine.address,
                resolvers: plan.network.resolvers.clone(),
                time_servers: plan.network.time_servers.clone(),
            },
            cluster: cluster.clone(),
            api: authority.machine(machine, lifetimes.config_days, now)?,
            role: role_config(machine.role, plan, secrets, &token),
            log: plan.log.clone(),
            drills: machine.drills.clone(),
        })
    };
    plan.machines.iter().map(config).collect()
}

fn addressing(plan: &Plan, machine: &PlannedMachine) -> Addressing {
    match machine.addressing {
        PlannedAddressing::Dhcp => Addressing::Dhcp {},
        PlannedAddressing::Static => Addressing::Static {
            subnet: host_in(plan.network.machines, machine.address),
            gateway: plan.network.gateway,
        },
    }
}

/// `address` with the prefix length of `network`.
fn host_in(network: Ipv4Net, address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new(address, network.prefix_len()).unwrap_or(network)
}

fn role_config(role: Role, plan: &Plan, secrets: &Secrets, token: &BootstrapToken) -> RoleConfig {
    match role {
        Role::Lb => RoleConfig::Lb(LbConfig { kubernetes_ca: secrets.kubernetes_ca.certificate.clone() }),
        Role::Etcd => RoleConfig::Etcd(EtcdConfig {
            ca: secrets.etcd_ca.clone(),
            client_ca: secrets.etcd_client_ca.certificate.clone(),
            cluster_token: format!("{}-{}", plan.name, secrets.etcd_founding),
        }),
        Role::ControlPlane => RoleConfig::ControlPlane(ControlPlaneConfig {
            kubernetes_ca: secrets.kubernetes_ca.clone(),
            front_proxy_ca: secrets.front_proxy_ca.clone(),
            etcd_ca: secrets.etcd_ca.certificate.clone(),
            etcd_client_ca: secrets.etcd_client_ca.clone(),
            service_account_key: secrets.service_account_key.clone(),
            service_account_public_key: secrets.service_account_public_key.clone(),
            encryption_key: secrets.encryption_key.clone(),
            bootstrap_token: token.clone(),
        }),
        Role::Worker => RoleConfig::Worker(WorkerConfig {
            kubernetes_ca: secrets.kubernetes_ca.certificate.clone(),
            bootstrap_token: token.clone(),
        }),
    }
}
