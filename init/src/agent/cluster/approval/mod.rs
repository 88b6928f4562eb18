//! Which kubelets get a serving certificate.
//!
//! Kubernetes approves nodes' client certificates itself, but nobody's serving ones: what
//! a node may call itself is the administrator's knowledge. Here it is the inventory. A
//! request is approved only when the requester, the subject, every name and every address
//! are those of one machine; anything else is left for a person to look at. Pure.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machine_config::Role;
use machine_config::machine::{Cluster, Machine};
use serde_json::{Value, json};
use trust::pki::Request;

/// The signer that kubelets ask.
pub(super) const SIGNER: &str = "kubernetes.io/kubelet-serving";
/// What a serving certificate may be used for; RSA keys need the last one.
const USAGES: [&str; 3] = ["digital signature", "server auth", "key encipherment"];

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// Nothing to decide: decided already, or another signer's.
    Settled,
    /// Approve it.
    Approve {
        /// The object with the approval in it.
        approved: Value,
        /// The machine.
        machine: String,
    },
    /// Leave it, and say why.
    Leave(Objection),
}

/// Why a request is not approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Objection {
    /// Not a kubelet's user name, or not in the nodes' group.
    #[error("{0:?} is not a node")]
    NotANode(String),
    /// A node that the inventory does not know.
    #[error("{0:?} is no machine of this cluster that runs pods")]
    Stranger(String),
    /// The request cannot be read.
    #[error("its request cannot be read: {0}")]
    Unreadable(String),
    /// CN or O are not the requester's.
    #[error("its subject is CN={common_names:?} O={organizations:?}, not the requester's own")]
    Subject {
        /// Every CN.
        common_names: Vec<String>,
        /// Every O.
        organizations: Vec<String>,
    },
    /// A usage that a server does not need.
    #[error("it asks for the usages {0:?}")]
    Usages(Vec<String>),
    /// No name at all.
    #[error("it names neither an address nor a host")]
    Nameless,
    /// Mail addresses, URIs and the like.
    #[error("it asks for names that are neither addresses nor hosts")]
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
    if csr.pointer("/spec/signerName").and_then(Value::as_str) != Some(SIGNER) || is_decided(csr) {
        return Verdict::Settled;
    }
    match machine_that_asks(cluster, csr) {
        Ok(machine) => Verdict::Approve { approved: approved(csr), machine: machine.name.to_string() },
        Err(objection) => Verdict::Leave(objection),
    }
}

fn is_decided(csr: &Value) -> bool {
    let conditions = csr.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|conditions| !conditions.is_empty())
        || csr.pointer("/status/certificate").is_some_and(|certificate| !certificate.is_null())
}

fn machine_that_asks<'a>(cluster: &'a Cluster, csr: &Value) -> Result<&'a Machine, Objection> {
    let user = text(csr, "/spec/username");
    let name = user.strip_prefix("system:node:").ok_or_else(|| Objection::NotANode(user.clone()))?;
    if !texts(csr, "/spec/groups").iter().any(|group| group == "system:nodes") {
        return Err(Objection::NotANode(user.clone()));
    }
    let machine = cluster
        .machines
        .iter()
        .find(|machine| {
            machine.name.as_str() == name && matches!(machine.role, Role::ControlPlane | Role::Worker)
        })
        .ok_or_else(|| Objection::Stranger(name.to_owned()))?;
    check_usages(&texts(csr, "/spec/usages"))?;
    let pem = STANDARD
        .decode(text(csr, "/spec/request"))
        .map_err(|error| Objection::Unreadable(error.to_string()))?;
    let request = Request::from_pem(&pem).map_err(|error| Objection::Unreadable(error.to_string()))?;
    check_request(&request, &user, machine)?;
    Ok(machine)
}

fn check_usages(usages: &[String]) -> Result<(), Objection> {
    let only_known = usages.iter().all(|usage| USAGES.contains(&usage.as_str()));
    let serves = usages.iter().any(|usage| usage == "server auth");
    if only_known && serves { Ok(()) } else { Err(Objection::Usages(usages.to_vec())) }
}

fn check_request(request: &Request, user: &str, machine: &Machine) -> Result<(), Objection> {
    if request.common_names != [user] || request.organizations != ["system:nodes"] {
        return Err(Objection::Subject {
            common_names: request.common_names.clone(),
            organizations: request.organizations.clone(),
        });
    }
    if request.other_names > 0 {
        return Err(Objection::OddNames);
    }
    if request.dns_names.is_empty() && request.addresses.is_empty() {
        return Err(Objection::Nameless);
    }
    if let Some(foreign) = request.dns_names.iter().find(|name| *name != machine.name.as_str()) {
        return Err(Objection::ForeignName(foreign.clone()));
    }
    if let Some(foreign) = request.addresses.iter().find(|address| **address != IpAddr::from(machine.address))
    {
        return Err(Objection::ForeignAddress(*foreign));
    }
    Ok(())
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

fn text(csr: &Value, pointer: &str) -> String {
    csr.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(csr: &Value, pointer: &str) -> Vec<String> {
    let list = csr.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
