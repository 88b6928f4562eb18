//! The node API's certificates: a server leaf per machine, client leaves for people and programs.
//!
//! One authority signs all of them, and its key never leaves the operator's secrets. A client's role is its
//! organization. The files that a client needs lie in one directory: `ca.crt`, `machines.toml`, and a `NAME.crt` and
//! `NAME.key` per identity; `files` says what is in them, `cmd::cluster` writes them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;
use machine_config::machine::Api;
use machine_config::pem::{self, BadPem};
use machine_config::{ClusterName, MachineName, Role as MachineRole};
use node_api::Role;
use serde::{Deserialize, Serialize};
use trust::pki::{Authority, Leaf, Minted, PkiError, Usage, Validity};

use super::plan::{Plan, PlannedMachine};
use super::secrets::Secrets;

/// The directory of client files in a cluster's.
pub const DIRECTORY: &str = "node-api";
/// Whom clients believe.
pub const CA_FILE: &str = "ca.crt";
/// Which machines there are.
pub const MACHINES_FILE: &str = "machines.toml";
/// The identity that a new cluster comes with.
pub const ADMIN: &str = "admin";

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NodeApiError {
    /// By the authority.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// What came out is not the PEM that machines read.
    #[error(transparent)]
    Pem(#[from] BadPem),
}

/// The authority, taken up.
#[derive(Debug)]
pub struct NodeApi {
    authority: Authority,
    certificate: pem::Certificate,
}

impl NodeApi {
    /// A cluster's.
    ///
    /// # Errors
    /// [`NodeApiError`] when its halves do not belong together.
    pub fn of(secrets: &Secrets) -> Result<Self, NodeApiError> {
        let ca = &secrets.node_api_ca;
        let authority = Authority::from_pem(ca.certificate.as_pem(), ca.key.as_pem())?;
        Ok(Self { authority, certificate: ca.certificate.clone() })
    }

    /// What a machine shows: a leaf for its name and address, as old as its config.
    ///
    /// # Errors
    /// [`NodeApiError`].
    pub fn machine(&self, machine: &PlannedMachine, days: u32, now: Timestamp) -> Result<Api, NodeApiError> {
        let leaf = Leaf {
            common_name: machine.name.to_string(),
            organization: None,
            dns_names: vec![machine.name.to_string()],
            addresses: vec![IpAddr::V4(machine.address)],
            usage: Usage::Server,
        };
        let Minted { certificate, key } = self.authority.issue(&leaf, lasting(days, now)?)?;
        Ok(Api { ca: self.certificate.clone(), certificate: certificate.try_into()?, key: key.try_into()? })
    }

    /// What a client shows.
    ///
    /// # Errors
    /// [`NodeApiError`].
    pub fn client(&self, name: &str, role: Role, days: u32, now: Timestamp) -> Result<Minted, NodeApiError> {
        let leaf = Leaf {
            common_name: name.to_owned(),
            organization: Some(role.organization()),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: Usage::Client,
        };
        Ok(self.authority.issue(&leaf, lasting(days, now)?)?)
    }

    /// Whom clients believe.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.certificate.as_pem()
    }
}

fn lasting(days: u32, now: Timestamp) -> Result<Validity, PkiError> {
    Validity::starting(now, Duration::from_secs(u64::from(days) * 24 * 3600))
}

/// `machines.toml`: whom a client may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inventory {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// Its machines.
    #[serde(rename = "machine")]
    pub machines: Vec<InventoryMachine>,
}

/// A machine that a client may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InventoryMachine {
    /// Its name; its certificate bears it.
    pub name: MachineName,
    /// Its role.
    pub role: MachineRole,
    /// Where it is.
    pub address: Ipv4Addr,
}

impl Inventory {
    /// A plan's machines.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let machine = |machine: &PlannedMachine| InventoryMachine {
            name: machine.name.clone(),
            role: machine.role,
            address: machine.address,
        };
        Self { cluster: plan.name.clone(), machines: plan.machines.iter().map(machine).collect() }
    }
}

#[cfg(test)]
mod tests {
    use trust::pki::Facts;

    use super::*;

    #[test]
    fn a_client_certificate_says_its_role_and_opens_no_server() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let plan = Plan::parse(include_str!("demo.toml")).unwrap();
        let secrets = Secrets::generate(&plan, now).unwrap();
        for role in Role::ALL {
            let minted = NodeApi::of(&secrets).unwrap().client("ann", role, 7, now).unwrap();
            let facts = Facts::from_pem(&minted.certificate).unwrap();
            assert_eq!(facts.common_name, "ann");
            assert_eq!(Role::of_organizations(facts.organizations.iter().map(String::as_str)), Some(role));
            assert!(facts.for_clients && !facts.for_servers && !facts.is_authority);
            assert_eq!(facts.not_after, now + jiff::SignedDuration::from_hours(7 * 24));
        }
    }

    #[test]
    fn an_inventory_is_read_back_as_it_was_written() {
        let inventory = Inventory::of(&Plan::parse(include_str!("demo.toml")).unwrap());
        let text = toml::to_string(&inventory).unwrap();
        assert_eq!(toml::from_str::<Inventory>(&text).unwrap(), inventory);
    }
}
