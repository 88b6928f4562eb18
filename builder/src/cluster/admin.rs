//! The operator's kubeconfig: a client certificate of the cluster's administrators.
//!
//! Short-lived, made from the cluster's secrets by `slipway cluster new` and never put on
//! a machine. The group is bound to cluster-admin by the control plane, so removing that
//! binding locks the certificate out, which `system:masters` would not allow.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;
use trust::pki::{Authority, Leaf, PkiError, Usage, Validity};

use super::plan::Plan;
use super::secrets::Secrets;

/// The group of operators; the control plane binds it to `cluster-admin`.
pub const ADMIN_GROUP: &str = "slipway:cluster-admins";

/// Makes a kubeconfig (JSON, which every YAML reader reads) for the plan's endpoint.
///
/// # Errors
/// [`PkiError`] when the CA can't issue.
pub fn kubeconfig(plan: &Plan, secrets: &Secrets, now: Timestamp) -> Result<String, PkiError> {
    let ca = &secrets.kubernetes_ca;
    let days = u64::from(plan.lifetimes.admin_days);
    let validity = Validity::starting(now, std::time::Duration::from_secs(days * 24 * 3600))?;
    let leaf = Leaf {
        common_name: "slipway-admin".to_owned(),
        organization: Some(ADMIN_GROUP.to_owned()),
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usage: Usage::Client,
    };
    let admin = Authority::from_pem(ca.certificate.as_pem(), ca.key.as_pem())?.issue(&leaf, validity)?;
    let name = plan.name.as_str();
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": {
            "server": plan.endpoint.url(),
            "certificate-authority-data": STANDARD.encode(ca.certificate.as_pem()),
        }}],
        "users": [{ "name": "admin", "user": {
            "client-certificate-data": STANDARD.encode(&admin.certificate),
            "client-key-data": STANDARD.encode(&admin.key),
        }}],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": "admin" } }],
        "current-context": name,
    });
    Ok(format!("{config:#}\n"))
}
