//! The payload of the signed machine config: one machine, whole.
//!
//! Every value that parses is legal by itself; what must hold between machines (quorum
//! sizes, overlapping networks, duplicate addresses) is checked when a cluster is made,
//! by `slipway cluster new`, since one machine cannot see the others' configs.
//! Secrets are here by role: a worker's config has no private CA key, an lb's no secret but
//! the key of its own node API.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{ClusterName, MachineName, Role, ServiceName};
use crate::pem::{Authority, Certificate, PrivateKey, PublicKey, Secret};

/// The schema number this crate reads and writes.
pub const SCHEMA: u32 = 1;

/// Why a payload is no machine config.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The payload is newer than this image.
    #[error(
        "schema {found} is too new: this image reads up to {SCHEMA}; boot a newer image or sign an older schema"
    )]
    SchemaTooNew {
        /// What the payload says.
        found: u32,
    },
    /// The payload does not fit the schema; the message has line and column.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
}

/// One machine's config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineConfig {
    /// Always [`SCHEMA`] once parsed.
    pub schema: u32,
    /// Whom the config is for, and when.
    pub header: Header,
    /// How the machine reaches the network.
    pub network: Network,
    /// What every machine of the cluster agrees on.
    pub cluster: Cluster,
    /// What the machine's own API shows, and whom it lets in.
    pub api: Api,
    /// What the role needs, secrets included.
    pub role: RoleConfig,
    /// Where lines go besides this machine's own disk; nowhere without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// Rehearsed failures: what kills which service when. Empty on most machines.
    #[serde(default, rename = "drill", skip_serializing_if = "Vec::is_empty")]
    pub drills: Vec<Drill>,
}

/// What of a config is nobody's secret, for agents that need no more. It is read from a text without secrets
/// (`redact`), whatever else that shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlainConfig {
    /// Whom the config is for, and when.
    pub header: Header,
    /// How the machine reaches the network.
    pub network: Network,
    /// What every machine of the cluster agrees on.
    pub cluster: Cluster,
    /// Rehearsed failures.
    #[serde(default, rename = "drill")]
    pub drills: Vec<Drill>,
}

/// Whom a config is for, which version of it this is, and when it may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Header {
    /// The cluster the machine belongs to.
    pub cluster: ClusterName,
    /// The machine's name.
    pub machine: MachineName,
    /// The hardware it is for: one of its NICs' MAC addresses, `aa:bb:cc:dd:ee:ff` in lower case.
    /// Without it, the first machine of the right role that reads the config takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Grows with every change; a lower one than the stored is refused.
    pub serial: u64,
    /// Not valid before.
    pub issued: Timestamp,
    /// Not valid after.
    pub expires: Timestamp,
}

/// The machine's own network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// The NIC to use, by MAC address; without it, `header.mac`, or else the first Ethernet NIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Where the address comes from.
    pub addressing: Addressing,
    /// The address other machines know this one by, whatever `addressing` says.
    pub address: Ipv4Addr,
    /// DNS servers; with DHCP, the lease's are used when this is empty.
    #[serde(default)]
    pub resolvers: Vec<Ipv4Addr>,
    /// SNTP servers; with DHCP, the lease's are used when this is empty.
    #[serde(default)]
    pub time_servers: Vec<Ipv4Addr>,
}

/// Where a machine's address comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Addressing {
    /// A DHCPv4 lease (which must give `network.address`, or the machine says so and waits).
    Dhcp {},
    /// Written down.
    Static {
        /// Address and prefix length, such as `10.0.0.5/24`.
        subnet: Ipv4Net,
        /// The default route, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gateway: Option<Ipv4Addr>,
    },
}

/// What every machine of a cluster agrees on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cluster {
    /// Where clients find the API: the load balancer's name or address.
    pub endpoint: Endpoint,
    /// Addresses of pods.
    pub pod_subnet: Ipv4Net,
    /// Virtual addresses of Services.
    pub service_subnet: Ipv4Net,
    /// The DNS zone of the cluster, such as `cluster.local`.
    pub domain: String,
    /// Every machine, this one included; no secrets.
    pub machines: Vec<Machine>,
}

/// Host and port of the Kubernetes API as clients dial it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Endpoint {
    /// A DNS name or an IPv4 address.
    pub host: String,
    /// Usually 6443.
    pub port: u16,
}

/// The machine's own API: every role has one, and this is its only identity. The key of the authority stays with the
/// operator, so that no machine can make itself, or anybody, an operator of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Api {
    /// Whose client certificates are let in.
    pub ca: Certificate,
    /// For exactly this machine, by its name and address, and for servers only.
    pub certificate: Certificate,
    /// Its private key.
    pub key: PrivateKey,
}

/// One line of the cluster's inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Machine {
    /// Its name.
    pub name: MachineName,
    /// Its role.
    pub role: Role,
    /// Its address.
    pub address: Ipv4Addr,
}

/// What a role needs. Which variant it is says which role the config is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "a machine has one, parsed once")]
pub enum RoleConfig {
    /// Load balancer.
    Lb(LbConfig),
    /// etcd member.
    Etcd(EtcdConfig),
    /// Control plane.
    ControlPlane(ControlPlaneConfig),
    /// Worker.
    Worker(WorkerConfig),
}

/// A load balancer holds no secret of its role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LbConfig {
    /// Whose certificates the control planes' health checks must show.
    pub kubernetes_ca: Certificate,
}

/// An etcd member holds etcd's CA, never a Kubernetes CA key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EtcdConfig {
    /// Issues server and peer certificates.
    pub ca: Authority,
    /// Whose client certificates are let in (the control planes issue their own).
    pub client_ca: Certificate,
    /// `--initial-cluster-token`: names this founding of the cluster.
    pub cluster_token: String,
}

/// A control plane holds the Kubernetes, front-proxy and etcd-client CA keys, never etcd's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ControlPlaneConfig {
    /// Issues every Kubernetes certificate.
    pub kubernetes_ca: Authority,
    /// Issues the aggregation layer's client certificate.
    pub front_proxy_ca: Authority,
    /// Whose server certificates etcd shows.
    pub etcd_ca: Certificate,
    /// Issues the API server's etcd client certificate.
    pub etcd_client_ca: Authority,
    /// Signs service account tokens.
    pub service_account_key: PrivateKey,
    /// Whose signatures on service account tokens count.
    pub service_account_public_key: PublicKey,
    /// 32 bytes in base64: encrypts Secrets in etcd's storage.
    pub encryption_key: Secret,
    /// Lets new nodes ask for their certificate.
    pub bootstrap_token: BootstrapToken,
}

/// A worker holds a token and a CA certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorkerConfig {
    /// Whose certificate the API shows.
    pub kubernetes_ca: Certificate,
    /// Lets the kubelet ask for its first certificate.
    pub bootstrap_token: BootstrapToken,
}

/// A Kubernetes bootstrap token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BootstrapToken {
    /// Six of `a-z0-9`; public.
    pub id: String,
    /// Sixteen of `a-z0-9`.
    pub secret: Secret,
    /// After this the token no longer lets anybody in.
    pub expires: Timestamp,
}

/// What becomes of the machine's log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", try_from = "LogText")]
pub struct Log {
    /// The syslog server (RFC 5424) that is sent every line: `tcp://HOST:PORT` or `tls://HOST:PORT`.
    pub forward: SyslogServer,
    /// Whose certificate it shows: needed for TLS, since an image trusts no authority of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Certificate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LogText {
    forward: SyslogServer,
    #[serde(default)]
    ca: Option<Certificate>,
}

impl TryFrom<LogText> for Log {
    type Error = &'static str;
    fn try_from(text: LogText) -> Result<Self, Self::Error> {
        if text.forward.tls != text.ca.is_some() {
            return Err("a tls:// server needs `ca`, and only it does");
        }
        Ok(Self { forward: text.forward, ca: text.ca })
    }
}

/// A syslog server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SyslogServer {
    /// Whether it is spoken to by TLS.
    pub tls: bool,
    /// A DNS name or an address.
    pub host: String,
    /// Usually 601, or 6514 with TLS.
    pub port: u16,
}

impl TryFrom<String> for SyslogServer {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not tcp://HOST:PORT or tls://HOST:PORT");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let tls = match scheme {
            "tcp" => false,
            "tls" => true,
            _ => return Err(wrong()),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if host.is_empty() || !host.chars().all(fits) {
            return Err(wrong());
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl From<SyslogServer> for String {
    fn from(server: SyslogServer) -> Self {
        let scheme = if server.tls { "tls" } else { "tcp" };
        format!("{scheme}://{}:{}", server.host, server.port)
    }
}

/// A rehearsed failure: `signal` goes to every process of `service` once, `after-seconds`
/// after the machine came up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drill {
    /// Whom it hits.
    pub service: ServiceName,
    /// What it sends.
    pub signal: DrillSignal,
    /// When, counted from the moment the service first became ready.
    pub after_seconds: u32,
}

/// What a drill sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillSignal {
    /// SIGKILL to the main process.
    Kill,
    /// An orderly reboot of the machine (`service` is then ignored).
    Reboot,
}

impl MachineConfig {
    /// Reads a payload whose signature has been verified.
    ///
    /// # Errors
    /// [`ParseError`], with line and column where the text is at fault.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        /// The schema number is read first and alone: a newer payload has fields that the rest would refuse.
        #[derive(Deserialize)]
        struct Peek {
            schema: u32,
        }
        let peek: Peek = toml::from_str(text)?;
        if peek.schema > SCHEMA {
            return Err(ParseError::SchemaTooNew { found: peek.schema });
        }
        Ok(toml::from_str(text)?)
    }

    /// What of it is nobody's secret.
    #[must_use]
    pub fn plain(&self) -> PlainConfig {
        let Self { header, network, cluster, drills, .. } = self.clone();
        PlainConfig { header, network, cluster, drills }
    }

    /// The role that the config is for.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.role {
            RoleConfig::Lb(_) => Role::Lb,
            RoleConfig::Etcd(_) => Role::Etcd,
            RoleConfig::ControlPlane(_) => Role::ControlPlane,
            RoleConfig::Worker(_) => Role::Worker,
        }
    }
}

impl PlainConfig {
    /// Reads a config's text without its secrets.
    ///
    /// # Errors
    /// [`ParseError::Toml`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(toml::from_str(text)?)
    }

    /// The MAC address of the NIC to use, if the config names one.
    #[must_use]
    pub fn nic_mac(&self) -> Option<&str> {
        self.network.mac.as_deref().or(self.header.mac.as_deref())
    }
}

impl Cluster {
    /// The machines of `role`, in the config's order.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(move |machine| machine.role == role)
    }

    /// The first address of the Service subnet: the API's own Service.
    #[must_use]
    pub fn api_service_address(&self) -> Ipv4Addr {
        nth_address(self.service_subnet, 1)
    }

    /// The tenth address of the Service subnet: the cluster's DNS.
    #[must_use]
    pub fn dns_service_address(&self) -> Ipv4Addr {
        nth_address(self.service_subnet, 10)
    }
}

fn nth_address(subnet: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).saturating_add(n))
}

impl Endpoint {
    /// `https://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}:{}", self.host, self.port)
    }
}

impl BootstrapToken {
    /// `id.secret`, as the kubelet presents it.
    #[must_use]
    pub fn bearer(&self) -> Secret {
        Secret::new(format!("{}.{}", self.id, self.secret.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Result<Log, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_syslog_server_is_read_as_it_is_written() {
        let read = log("forward = \"tcp://10.0.0.9:601\"").unwrap();
        assert_eq!(
            (read.forward.tls, read.forward.host.as_str(), read.forward.port),
            (false, "10.0.0.9", 601)
        );
        assert_eq!(String::from(read.forward), "tcp://10.0.0.9:601");
    }

    #[test]
    fn tls_without_an_authority_and_an_authority_without_tls_are_refused() {
        let ca = "ca = \"-----BEGIN CERTIFICATE-----\"";
        assert!(log("forward = \"tls://logs.example:6514\"").is_err());
        assert!(log(&format!("forward = \"tcp://logs.example:601\"\n{ca}")).is_err());
        assert!(log(&format!("forward = \"tls://logs.example:6514\"\n{ca}")).is_ok());
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for wrong in ["udp://a:1", "tcp://a", "tcp://:1", "tcp://a:0", "tcp://a b:1", "a:1", "tcp://a:99999"]
        {
            assert!(log(&format!("forward = \"{wrong}\"")).is_err(), "{wrong}");
        }
        assert!(log("forward = \"tcp://a:1\"\nother = 1").is_err());
    }
}
