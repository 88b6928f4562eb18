//! The bootstrap token, as the Secret that Kubernetes recognises by its name.
//!
//! An expired one is not applied: the token cleaner removes it, and putting it back would
//! only make the two of us busy.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use machine_config::machine::BootstrapToken;
use serde_json::json;

use super::Object;

/// The Secret, while the token lets anybody in.
pub(super) fn object(token: &BootstrapToken, now: Timestamp) -> Option<Object> {
    if now >= token.expires {
        return None;
    }
    let encode = |text: &str| STANDARD.encode(text);
    Some(super::object(
        "/api/v1/namespaces/kube-system/secrets",
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": format!("bootstrap-token-{}", token.id), "namespace": "kube-system" },
            "type": "bootstrap.kubernetes.io/token",
            "data": {
                "token-id": encode(&token.id),
                "token-secret": encode(token.secret.expose()),
                "expiration": encode(&seconds(token.expires)),
                "usage-bootstrap-authentication": encode("true"),
                "auth-extra-groups": encode("system:bootstrappers:nodes"),
                "description": encode("lets new nodes of this cluster ask for their certificate"),
            },
        }),
    ))
}

/// RFC 3339 in whole seconds, as Kubernetes parses it.
fn seconds(at: Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use machine_config::pem::Secret;

    use super::*;
    use crate::agent::fixture::made;

    fn token() -> BootstrapToken {
        BootstrapToken {
            id: "abcdef".to_owned(),
            secret: Secret::new("0123456789abcdef".to_owned()),
            expires: made() + SignedDuration::from_millis(3_600_400),
        }
    }

    #[test]
    fn the_secret_is_named_after_the_token_and_ends_with_it() {
        let Object { path, body } = object(&token(), made()).unwrap();
        assert_eq!(path, "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef");
        let data = |key: &str| STANDARD.decode(body["data"][key].as_str().unwrap()).unwrap();
        assert_eq!(data("expiration"), b"2026-11-21T13:00:00Z");
        assert_eq!(data("token-secret"), b"0123456789abcdef");
    }

    #[test]
    fn an_expired_token_is_left_to_the_cleaner() {
        assert_eq!(object(&token(), made() + SignedDuration::from_hours(2)), None);
    }
}
