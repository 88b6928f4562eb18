//! A cluster description as its file has it: every value of the right type, nothing compared yet.
//!
//! Values keep their places ([`Spanned`]) as far as a complaint may be about them. What is
//! absent gets its default here; what does not go together is `checks`' to say.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use machine_config::machine::{Drill, Log};
use machine_config::{ClusterName, MachineName, Role};
use serde::Deserialize;
use toml::Spanned;

use super::{Lifetimes, PlannedAddressing};

/// The port of the Kubernetes API when the plan names none.
pub(super) const API_PORT: u16 = 6443;

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawPlan {
    pub(super) name: Spanned<ClusterName>,
    pub(super) endpoint: Option<Spanned<RawEndpoint>>,
    pub(super) network: RawNetwork,
    #[serde(rename = "machine", default)]
    pub(super) machines: Vec<RawMachine>,
    #[serde(default)]
    pub(super) lifetimes: Lifetimes,
    pub(super) log: Option<Log>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawEndpoint {
    pub(super) host: String,
    #[serde(default = "api_port")]
    pub(super) port: u16,
}

fn api_port() -> u16 {
    API_PORT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawNetwork {
    pub(super) machines: Spanned<Ipv4Net>,
    pub(super) gateway: Option<Spanned<Ipv4Addr>>,
    #[serde(default)]
    pub(super) resolvers: Vec<Ipv4Addr>,
    #[serde(default)]
    pub(super) time_servers: Vec<Ipv4Addr>,
    pub(super) pods: Option<Spanned<Ipv4Net>>,
    pub(super) services: Option<Spanned<Ipv4Net>>,
    pub(super) domain: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMachine {
    pub(super) name: Spanned<MachineName>,
    pub(super) role: Spanned<Role>,
    pub(super) address: Spanned<Ipv4Addr>,
    pub(super) mac: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) addressing: PlannedAddressing,
    #[serde(default, rename = "drill")]
    pub(super) drills: Vec<Drill>,
}

fn subnet(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from(octets), prefix)
}

pub(super) fn default_pods() -> Ipv4Net {
    subnet([10, 244, 0, 0], 16)
}

pub(super) fn default_services() -> Ipv4Net {
    subnet([10, 96, 0, 0], 16)
}
