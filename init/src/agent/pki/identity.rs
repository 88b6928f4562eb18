//! Whether a node has a way into its cluster: a certificate of its own, or else a token.
//!
//! Pure. The certificate is the kubelet's business; the agent only looks whether there is
//! one, since much of what it renders depends on that.

use jiff::{SignedDuration, Timestamp};
use machine_config::MachineConfig;
use machine_config::machine::{BootstrapToken, RoleConfig};
use trust::pki::Facts;

/// A certificate with less life than this counts as none.
const LEFT: SignedDuration = SignedDuration::from_mins(10);

/// What a node already has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeIdentity {
    /// Nothing: the kubelet presents the bootstrap token.
    None,
    /// A client certificate that is still good.
    Certificate,
}

/// Judges the kubelet's certificate, if there is one.
pub(super) fn identity(certificate: Option<&Facts>, now: Timestamp) -> NodeIdentity {
    match certificate {
        Some(facts) if facts.not_after.duration_since(now) > LEFT => NodeIdentity::Certificate,
        _ => NodeIdentity::None,
    }
}

/// What to tell whoever stands at a node that nobody will let in.
pub(super) fn stranded(config: &MachineConfig, identity: NodeIdentity, now: Timestamp) -> Option<String> {
    let token = token(config)?;
    if identity == NodeIdentity::Certificate || now < token.expires {
        return None;
    }
    Some(format!(
        "this node cannot join: it has no valid certificate, and its bootstrap token has expired at {}; \
         sign a config with a new token for it",
        token.expires
    ))
}

fn token(config: &MachineConfig) -> Option<&BootstrapToken> {
    match &config.role {
        RoleConfig::Worker(worker) => Some(&worker.bootstrap_token),
        RoleConfig::ControlPlane(plane) => Some(&plane.bootstrap_token),
        RoleConfig::Lb(_) | RoleConfig::Etcd(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use machine_config::Role;
    use trust::pki::{Authority, Validity};

    use super::*;
    use crate::agent::fixture::{config, made};

    fn certificate(lifetime: Duration) -> Facts {
        let minted = Authority::mint("x", Validity::starting(made(), lifetime).unwrap()).unwrap();
        Facts::from_pem(&minted.certificate).unwrap()
    }

    #[test]
    fn a_certificate_about_to_end_counts_as_none() {
        assert_eq!(identity(None, made()), NodeIdentity::None);
        assert_eq!(identity(Some(&certificate(Duration::from_mins(9))), made()), NodeIdentity::None);
        assert_eq!(identity(Some(&certificate(Duration::from_hours(9))), made()), NodeIdentity::Certificate);
    }

    #[test]
    fn a_node_without_certificate_and_token_says_what_it_needs() {
        let (worker, after) = (config(Role::Worker), made() + SignedDuration::from_hours(25));
        assert_eq!(stranded(&worker, NodeIdentity::None, made()), None);
        assert_eq!(stranded(&worker, NodeIdentity::Certificate, after), None);
        assert!(stranded(&worker, NodeIdentity::None, after).unwrap().contains("new token"));
        assert_eq!(stranded(&config(Role::Lb), NodeIdentity::None, after), None);
    }
}
