//! Kubeconfigs: how a component finds the API, and as whom it speaks.
//!
//! Certificates are referred to by path, never copied in, so that a renewed one is seen
//! by whoever uses it.

use machine_config::pem::Secret;
use serde_json::{Value, json};

/// As whom a component speaks.
pub(super) enum Credentials {
    /// With a certificate and its key, by path.
    Certificate {
        /// The certificate.
        certificate: String,
        /// Its key; may be the same file.
        key: String,
    },
    /// With a token.
    Token(Secret),
}

/// A kubeconfig for `server`, whose certificate the authority in the file `authority` has issued.
pub(super) fn kubeconfig(server: &str, authority: &str, credentials: &Credentials) -> Value {
    let user = match credentials {
        Credentials::Certificate { certificate, key } => {
            json!({ "client-certificate": certificate, "client-key": key })
        }
        Credentials::Token(token) => json!({ "token": token.expose() }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "slipway", "cluster": { "server": server, "certificate-authority": authority } }],
        "users": [{ "name": "own", "user": user }],
        "contexts": [{ "name": "own", "context": { "cluster": "slipway", "user": "own" } }],
        "current-context": "own",
    })
}
