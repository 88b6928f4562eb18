//! From a machine config to what its services read: files, directories, certificates.
//!
//! A function of the config alone (and of what the kubelet already has), so every flag
//! and every line of configuration is tested without a machine. A module per kind of
//! service; the flags and their reasons are from the project's notes on Kubernetes.
//! JSON is written where YAML is read: it is YAML, and it has a serializer.

mod api;
mod control_plane;
mod etcd;
mod kubeconfig;
mod lb;
mod node;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use machine_config::MachineConfig;
use machine_config::machine::{Machine, RoleConfig};
use machine_config::pem::Authority;
use machine_config::service::{Group, Overlay};
use serde_json::Value;

use super::identity::NodeIdentity;
use super::leaf::{Issuer, Wish};
use crate::agent::paths;

/// A file to be written.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Where.
    pub path: PathBuf,
    /// Who but the agent itself may read it; everybody without it. Whatever holds a secret has one.
    pub readers: Option<Group>,
    /// What.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Contents may be secret.
        write!(f, "File({}, {:?}, {} bytes)", self.path.display(), self.readers, self.bytes.len())
    }
}

/// Everything that a role's services read.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    /// Files with their contents.
    pub files: Vec<File>,
    /// Certificates to mint.
    pub wishes: Vec<Wish>,
    /// The authorities that mint them.
    pub authorities: BTreeMap<Issuer, Authority>,
}

/// Renders all that `config`'s role needs.
pub(super) fn render(config: &MachineConfig, identity: NodeIdentity) -> Rendered {
    let mut out = Rendered::default();
    api::render(&config.api, &mut out);
    log_forward(config, &mut out);
    match &config.role {
        RoleConfig::Lb(lb) => lb::render(config, lb, &mut out),
        RoleConfig::Etcd(etcd) => etcd::render(config, etcd, &mut out),
        RoleConfig::ControlPlane(plane) => {
            control_plane::render(config, plane, &mut out);
            let node = node::Node {
                kubernetes_ca: &plane.kubernetes_ca.certificate,
                token: &plane.bootstrap_token,
                // Its own API server: a node of the control plane must not depend on the load balancer,
                // nor talk to another version than its own.
                api: "https://127.0.0.1:6443".to_owned(),
                takes_pods: node::TakesPods::OnlyTolerating,
            };
            node::render(config, &node, identity, &mut out);
        }
        RoleConfig::Worker(worker) => {
            let node = node::Node {
                kubernetes_ca: &worker.kubernetes_ca,
                token: &worker.bootstrap_token,
                api: config.cluster.endpoint.url(),
                takes_pods: node::TakesPods::All,
            };
            node::render(config, &node, identity, &mut out);
        }
    }
    out
}

/// Where the forwarder sends lines: no words mean nowhere.
fn log_forward(config: &MachineConfig, out: &mut Rendered) {
    let mut arguments = Vec::new();
    if let Some(log) = &config.log {
        let to = String::from(log.forward.clone());
        arguments.extend(["--to".to_owned(), to, "--host".to_owned(), config.header.machine.to_string()]);
        if let Some(ca) = &log.ca {
            out.text(pki("syslog-ca.crt"), ca.as_pem());
            arguments.extend(["--ca".to_owned(), pki("syslog-ca.crt")]);
        }
    }
    out.args("log-forward", &arguments);
}

impl Rendered {
    fn text(&mut self, path: impl AsRef<Path>, text: impl Into<String>) {
        self.file(path, None, text.into().into_bytes());
    }

    fn secret(&mut self, readers: Group, path: impl AsRef<Path>, text: impl Into<String>) {
        self.file(path, Some(readers), text.into().into_bytes());
    }

    fn json(&mut self, path: impl AsRef<Path>, value: &Value) {
        self.text(path, format!("{value:#}\n"));
    }

    fn secret_json(&mut self, readers: Group, path: impl AsRef<Path>, value: &Value) {
        self.secret(readers, path, format!("{value:#}\n"));
    }

    /// The arguments of `service`.
    fn args(&mut self, service: &str, arguments: &[String]) {
        let overlay = Overlay { arguments: arguments.to_vec(), environment: Vec::new() };
        // Lists of texts always encode.
        let bytes = overlay.encode().unwrap_or_default();
        self.file(Path::new(paths::OVERLAYS).join(service), None, bytes);
    }

    fn file(&mut self, path: impl AsRef<Path>, readers: Option<Group>, bytes: Vec<u8>) {
        debug_assert!(!self.files.iter().any(|file| file.path == path.as_ref()), "written twice");
        self.files.push(File { path: path.as_ref().to_owned(), readers, bytes });
    }
}

/// The path of a certificate or key that services read.
fn pki(name: &str) -> String {
    format!("{}/{name}", paths::PKI)
}

/// The path of a file of Kubernetes' parts.
fn kubernetes(name: &str) -> String {
    format!("{}/{name}", paths::KUBERNETES)
}

/// The addresses of `machines` at `port`, as URLs, joined by commas.
fn urls<'a>(machines: impl Iterator<Item = &'a Machine>, port: u16) -> Vec<String> {
    machines.map(|machine| format!("https://{}:{port}", machine.address)).collect()
}

#[cfg(test)]
mod tests;
