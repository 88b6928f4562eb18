//! Which nodes get which certificate.
//!
//! What a node may call itself is the administrator's knowledge, and that is the inventory.
//! A request is granted only when the requester, the subject, every name and every address
//! are those of one machine that runs pods; anything else is left for a person to look at.
//! Kubernetes' own approver is given no rights: it would let a token take any name. Pure.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machine_config::Role;
use machine_config::machine::{Cluster, Machine};
use serde_json::{Value, json};
use trust::pki::{Leaf, Request, Usage};

/// How long a node's certificate lives. A node that is off for longer needs a new token.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// The group of nodes, and the organization of their certificates.
const NODES: &str = "system:nodes";
/// The group of those who present a bootstrap token.
const NEW_NODES: &str = "system:bootstrappers:nodes";

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The kubelet's identity.
    Client,
    /// What the kubelet shows to the API server.
    Serving,
}

impl Kind {
    /// Both.
    pub(super) const ALL: [Kind; 2] = [Kind::Client, Kind::Serving];

    /// The signer that kubelets ask.
    pub(super) fn signer(self) -> &'static str {
        match self {
            Kind::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Kind::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    /// What such a certificate may be used for; RSA keys need the last one.
    fn usages(self) -> [&'static str; 3] {
        match self {
            Kind::Client => ["client auth", "digital signature", "key encipherment"],
            Kind::Serving => ["server auth", "digital signature", "key encipherment"],
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// Nothing to decide: decided already, or another signer's.
    Settled,
    /// Grant it.
    Grant(Box<Grant>),
    /// Leave it, and say why.
    Leave(Objection),
}

/// A request that is granted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grant {
    /// The object with the approval in it.
    pub approved: Value,
    /// The request, PEM.
    pub request: String,
    /// What the certificate says.
    pub leaf: Leaf,
    /// How long it lives.
    pub lifetime: Duration,
}

/// Why a request is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Objection {
    /// Neither a node nor somebody with a token, or not in their group.
    #[error("{0:?} is not a node")]
    NotANode(String),
    /// A node that the inventory does not know.
    #[error("{0:?} is no machine of this cluster that runs pods")]
    Stranger(String),
    /// The request cannot be read.
    #[error("its request cannot be read: {0}")]
    Unreadable(String),
    /// CN or O are not a node's, or not the requester's.
    #[error("its subject is CN={common_names:?} O={organizations:?}, not the requester's own")]
    Subject {
        /// Every CN.
        common_names: Vec<String>,
        /// Every O.
        organizations: Vec<String>,
    },
    /// A usage that is not needed.
    #[error("it asks for the usages {0:?}")]
    Usages(Vec<String>),
    /// A serving certificate without any name.
    #[error("it names neither an address nor a host")]
    Nameless,
    /// Mail addresses, URIs and the like, or any name in a client's certificate.
    #[error("it asks for names that it has no use for")]
    OddNames,
    /// Somebody else's name.
    #[error("it asks for the name {0:?}, which is another's")]
    ForeignName(String),
    /// Somebody else's address.
    #[error("it asks for the address {0}, which is another's")]
    ForeignAddress(IpAddr),
}

/// Decides about a CertificateSigningRequest object.
pub(super) fn judge(cluster: &Cluster, csr: &Value) -> Verdict {
    let signer = text(csr, "/spec/signerName");
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.signer() == signer) else {
        return Verdict::Settled;
    };
    if is_decided(csr) {
        return Verdict::Settled;
    }
    match grant(cluster, csr, kind) {
        Ok(grant) => Verdict::Grant(Box::new(grant)),
        Err(objection) => Verdict::Leave(objection),
    }
}

fn is_decided(csr: &Value) -> bool {
    let conditions = csr.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|conditions| !conditions.is_empty())
        || csr.pointer("/status/certificate").is_some_and(|certificate| !certificate.is_null())
}

fn grant(cluster: &Cluster, csr: &Value, kind: Kind) -> Result<Grant, Objection> {
    check_usages(&texts(csr, "/spec/usages"), kind)?;
    let unreadable = |why: String| Objection::Unreadable(why);
    let pem = STANDARD.decode(text(csr, "/spec/request")).map_err(|error| unreadable(error.to_string()))?;
    let request = Request::from_pem(&pem).map_err(|error| unreadable(error.to_string()))?;
    let name = node_of(&request)?;
    check_requester(&text(csr, "/spec/username"), &texts(csr, "/spec/groups"), &request, kind)?;
    let machine = cluster
        .machines
        .iter()
        .find(|machine| {
            machine.name.as_str() == name && matches!(machine.role, Role::ControlPlane | Role::Worker)
        })
        .ok_or_else(|| Objection::Stranger(name.to_owned()))?;
    check_names(&request, machine, kind)?;
    let asked = csr.pointer("/spec/expirationSeconds").and_then(Value::as_u64).map(Duration::from_secs);
    Ok(Grant {
        approved: approved(csr),
        request: String::from_utf8(pem).map_err(|error| unreadable(error.to_string()))?,
        leaf: Leaf {
            common_name: format!("system:node:{}", machine.name),
            organization: Some(NODES.to_owned()),
            dns_names: request.dns_names,
            addresses: request.addresses,
            usage: match kind {
                Kind::Client => Usage::Client,
                Kind::Serving => Usage::Server,
            },
        },
        lifetime: asked.map_or(LIFETIME, |asked| asked.min(LIFETIME)),
    })
}

fn check_usages(usages: &[String], kind: Kind) -> Result<(), Objection> {
    let known = kind.usages();
    let only_known = usages.iter().all(|usage| known.contains(&usage.as_str()));
    let serves = usages.iter().any(|usage| *usage == known[0]);
    if only_known && serves { Ok(()) } else { Err(Objection::Usages(usages.to_vec())) }
}

/// The machine that the request is about.
fn node_of(request: &Request) -> Result<&str, Objection> {
    let subject = || Objection::Subject {
        common_names: request.common_names.clone(),
        organizations: request.organizations.clone(),
    };
    match (request.common_names.as_slice(), request.organizations.as_slice()) {
        ([name], [group]) if group == NODES => name.strip_prefix("system:node:").ok_or_else(subject),
        _ => Err(subject()),
    }
}

/// A node speaks for itself; a token for any machine, but only to get its first identity.
fn check_requester(user: &str, groups: &[String], request: &Request, kind: Kind) -> Result<(), Objection> {
    let is_in = |group: &str| groups.iter().any(|own| own == group);
    if kind == Kind::Client && user.starts_with("system:bootstrap:") && is_in(NEW_NODES) {
        return Ok(());
    }
    if !user.starts_with("system:node:") || !is_in(NODES) {
        return Err(Objection::NotANode(user.to_owned()));
    }
    if request.common_names != [user] {
        return Err(Objection::Subject {
            common_names: request.common_names.clone(),
            organizations: request.organizations.clone(),
        });
    }
    Ok(())
}

fn check_names(request: &Request, machine: &Machine, kind: Kind) -> Result<(), Objection> {
    let nameless = request.dns_names.is_empty() && request.addresses.is_empty();
    if request.other_names > 0 || (kind == Kind::Client && !nameless) {
        return Err(Objection::OddNames);
    }
    if kind == Kind::Serving && nameless {
        return Err(Objection::Nameless);
    }
    if let Some(foreign) = request.dns_names.iter().find(|name| *name != machine.name.as_str()) {
        return Err(Objection::ForeignName(foreign.clone()));
    }
    let own = IpAddr::from(machine.address);
    match request.addresses.iter().find(|address| **address != own) {
        Some(foreign) => Err(Objection::ForeignAddress(*foreign)),
        None => Ok(()),
    }
}

fn approved(csr: &Value) -> Value {
    let mut csr = csr.clone();
    if let Some(object) = csr.as_object_mut() {
        // Lists leave these out, and the API wants them back.
        object.insert("apiVersion".to_owned(), json!("certificates.k8s.io/v1"));
        object.insert("kind".to_owned(), json!("CertificateSigningRequest"));
        let condition = json!({
            "type": "Approved",
            "status": "True",
            "reason": "InventoryMatch",
            "message": "requester, names and addresses are those of one machine of the cluster",
        });
        object.insert("status".to_owned(), json!({ "conditions": [condition] }));
    }
    csr
}

/// The approved object as the API gave it back, with the certificate in it.
pub(super) fn issued(approved: &Value, certificate: &str) -> Value {
    let mut csr = approved.clone();
    if let Some(status) = csr.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("certificate".to_owned(), json!(STANDARD.encode(certificate)));
    }
    csr
}

fn text(csr: &Value, pointer: &str) -> String {
    csr.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(csr: &Value, pointer: &str) -> Vec<String> {
    let list = csr.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
