//! The certificates that a machine mints for its own services, and when it does.
//!
//! Pure: a wish, what there is, and the time in; keep or mint out. A certificate is
//! minted anew when two thirds of its life are over, and whenever the wish or its
//! authority has changed, so a changed config never leaves an old name standing.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use machine_config::service::Group;
use trust::pki::{Authority, Facts, Leaf, Usage};

/// Which of the role's authorities issues a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Issuer {
    /// etcd's servers and peers.
    Etcd,
    /// etcd's clients.
    EtcdClient,
    /// Everything of Kubernetes.
    Kubernetes,
    /// The aggregation layer's client.
    FrontProxy,
}

/// How long a certificate of a server or of an ordinary client lives.
pub(super) const ORDINARY: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long one lives that may do anything.
pub(super) const POWERFUL: Duration = Duration::from_secs(24 * 3600);

/// A certificate that a service needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// The stem of its two files' names, `NAME.crt` and `NAME.key`.
    pub name: &'static str,
    /// Who issues it.
    pub issuer: Issuer,
    /// What it says.
    pub leaf: Leaf,
    /// How long it lives.
    pub lifetime: Duration,
    /// Who reads its key.
    pub readers: Group,
}

/// Why a certificate is minted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// There is none.
    Absent,
    /// It says something else than is wished.
    Changed,
    /// Another authority issued it.
    OtherAuthority,
    /// Two thirds of its life are over, or it begins in the future.
    Due,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "there was none",
            Self::Changed => "it said something else",
            Self::OtherAuthority => "another authority had issued it",
            Self::Due => "it was due for renewal",
        })
    }
}

/// Decides whether what there is will do: `None` means yes.
pub(super) fn must_mint(
    wish: &Wish,
    there: Option<&Facts>,
    authority: &Authority,
    now: Timestamp,
) -> Option<Reason> {
    let Some(facts) = there else { return Some(Reason::Absent) };
    if !authority.issued(facts) {
        return Some(Reason::OtherAuthority);
    }
    if !says(facts, &wish.leaf) {
        return Some(Reason::Changed);
    }
    facts.due_in(now).is_zero().then_some(Reason::Due)
}

fn says(facts: &Facts, leaf: &Leaf) -> bool {
    let (servers, clients) = match leaf.usage {
        Usage::Client => (false, true),
        Usage::Server => (true, false),
        Usage::ClientAndServer => (true, true),
    };
    facts.common_name == leaf.common_name
        && facts.organizations.iter().eq(leaf.organization.iter())
        && facts.dns_names == leaf.dns_names
        && facts.addresses == leaf.addresses
        && (facts.for_servers, facts.for_clients) == (servers, clients)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use trust::pki::Validity;

    use super::*;
    use crate::agent::fixture::{authority, made};

    fn own(name: &str) -> Authority {
        let pem = authority(name);
        Authority::from_pem(pem.certificate.as_pem(), pem.key.as_pem()).unwrap()
    }

    fn wish() -> Wish {
        Wish {
            name: "etcd-peer",
            issuer: Issuer::Etcd,
            leaf: Leaf {
                common_name: "e1".to_owned(),
                organization: None,
                dns_names: vec!["e1".to_owned()],
                addresses: vec!["10.77.0.11".parse().unwrap()],
                usage: Usage::ClientAndServer,
            },
            lifetime: ORDINARY,
            readers: Group::EtcdKeys,
        }
    }

    fn minted(ca: &Authority, wish: &Wish) -> Facts {
        let minted = ca.issue(&wish.leaf, Validity::starting(made(), wish.lifetime).unwrap()).unwrap();
        Facts::from_pem(&minted.certificate).unwrap()
    }

    #[test]
    fn a_certificate_is_kept_over_reboots_until_two_thirds_of_its_life() {
        let (ca, wish) = (own("etcd"), wish());
        let facts = minted(&ca, &wish);
        let after = |days: i64| made() + SignedDuration::from_hours(24 * days);
        assert_eq!(must_mint(&wish, None, &ca, made()), Some(Reason::Absent));
        assert_eq!(must_mint(&wish, Some(&facts), &ca, after(59)), None);
        assert_eq!(must_mint(&wish, Some(&facts), &ca, after(61)), Some(Reason::Due));
    }

    #[test]
    fn a_changed_address_is_in_the_certificate_at_the_next_boot() {
        let (ca, wish) = (own("etcd"), wish());
        let facts = minted(&ca, &wish);
        let mut changed = wish.clone();
        changed.leaf.addresses = vec!["10.77.0.12".parse().unwrap()];
        assert_eq!(must_mint(&changed, Some(&facts), &ca, made()), Some(Reason::Changed));
        let mut changed = wish;
        changed.leaf.usage = Usage::Server;
        assert_eq!(must_mint(&changed, Some(&facts), &ca, made()), Some(Reason::Changed));
    }

    #[test]
    fn a_new_authority_of_the_same_name_reissues_everything() {
        let (ca, wish) = (own("etcd"), wish());
        let facts = minted(&ca, &wish);
        assert_eq!(must_mint(&wish, Some(&facts), &own("etcd"), made()), Some(Reason::OtherAuthority));
    }
}
