//! Certificate authorities: made once per cluster, then asked for leaves.
//!
//! A leaf's key is made here together with its certificate, both ECDSA P-256. Which
//! leaves a machine wants and when it renews them is the agent's decision, not ours.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SanType,
};

use super::{Facts, PkiError};

/// How far before now a certificate begins, so that a machine whose clock is a little
/// late accepts it.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// From when to when a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    from: Timestamp,
    to: Timestamp,
}

impl Validity {
    /// For `lifetime` from `now`; it begins five minutes earlier.
    ///
    /// # Errors
    /// [`PkiError::Validity`] when the end would lie beyond the calendar.
    pub fn starting(now: Timestamp, lifetime: Duration) -> Result<Self, PkiError> {
        let impossible = |_| PkiError::Validity { from: now, to: Timestamp::MAX };
        let from = now.checked_sub(BACKDATE).map_err(impossible)?;
        let to = now.checked_add(lifetime).map_err(impossible)?;
        Ok(Self { from, to })
    }

    fn within(self, issuer: &Facts) -> Result<Self, PkiError> {
        let clipped = Self { from: self.from.max(issuer.not_before), to: self.to.min(issuer.not_after) };
        if clipped.from < clipped.to {
            Ok(clipped)
        } else {
            Err(PkiError::Validity { from: self.from, to: clipped.to })
        }
    }
}

/// What a leaf may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To show to a server.
    Client,
    /// To show to clients.
    Server,
    /// Both: etcd's peers.
    ClientAndServer,
}

/// The certificate that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Subject CN; Kubernetes' user name.
    pub common_name: String,
    /// Subject O; Kubernetes' group.
    pub organization: Option<String>,
    /// DNS names it is valid for.
    pub dns_names: Vec<String>,
    /// Addresses it is valid for.
    pub addresses: Vec<IpAddr>,
    /// What it is for.
    pub usage: Usage,
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Minted {
    /// The certificate.
    pub certificate: String,
    /// Its PKCS#8 private key: whoever writes it makes the file 0600 first.
    pub key: String,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// An authority that can issue.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    facts: Facts,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("subject", &self.facts.common_name).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new self-signed authority.
    ///
    /// # Errors
    /// [`PkiError`] when the randomness or the validity fail.
    pub fn mint(common_name: &str, validity: Validity) -> Result<Minted, PkiError> {
        let mut params = parameters(common_name, None, validity);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = new_key()?;
        let certificate = params
            .self_signed(&key)
            .map_err(|source| PkiError::Make { doing: "signing an authority", source })?;
        Ok(Minted { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Takes up an authority from its PEM halves; of several certificates the first is the issuer.
    ///
    /// # Errors
    /// [`PkiError`] when one of them cannot be read, or they do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let facts = Facts::from_pem(certificate)?;
        let key = KeyPair::from_pem(key).map_err(|source| PkiError::Read {
            what: "an authority's private key",
            why: source.to_string(),
        })?;
        if facts.public_key != key.subject_public_key_info() {
            return Err(PkiError::Mismatch { subject: facts.common_name });
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, key)
            .map_err(|source| PkiError::Make { doing: "taking up an authority", source })?;
        Ok(Self { issuer, facts })
    }

    /// Issues `leaf` with a new key. It ends with the authority at the latest.
    ///
    /// # Errors
    /// [`PkiError`] when a name cannot be written down, or the authority has expired.
    pub fn issue(&self, leaf: &Leaf, validity: Validity) -> Result<Minted, PkiError> {
        let key = new_key()?;
        Ok(Minted { certificate: self.certify(leaf, validity, &key)?, key: key.serialize_pem() })
    }

    /// Issues `leaf` for the key of a PEM signing request, whose signature must hold. Nothing
    /// else of the request counts: what it asks for has been judged, and became the leaf.
    ///
    /// # Errors
    /// [`PkiError`] when the request cannot be read or is not signed by its own key.
    pub fn issue_for(&self, request: &str, leaf: &Leaf, validity: Validity) -> Result<String, PkiError> {
        let request = CertificateSigningRequestParams::from_pem(request)
            .map_err(|error| PkiError::Read { what: "a certificate request", why: error.to_string() })?;
        self.certify(leaf, validity, &request.public_key)
    }

    fn certify(&self, leaf: &Leaf, validity: Validity, key: &impl PublicKeyData) -> Result<String, PkiError> {
        let making = |source| PkiError::Make { doing: "issuing a certificate", source };
        let mut params =
            parameters(&leaf.common_name, leaf.organization.as_deref(), validity.within(&self.facts)?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match leaf.usage {
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::ClientAndServer => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        params.use_authority_key_identifier_extension = true;
        for name in &leaf.dns_names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(making)?));
        }
        params.subject_alt_names.extend(leaf.addresses.iter().map(|address| SanType::IpAddress(*address)));
        Ok(params.signed_by(key, &self.issuer).map_err(making)?.pem())
    }

    /// Whether `certificate` was signed with this authority's key, by its key identifier.
    #[must_use]
    pub fn issued(&self, certificate: &Facts) -> bool {
        certificate.issuer_key_id.is_some() && certificate.issuer_key_id == self.facts.own_key_id
    }
}

fn parameters(common_name: &str, organization: Option<&str>, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    params.not_before = SystemTime::from(validity.from).into();
    params.not_after = SystemTime::from(validity.to).into();
    params
}

pub(super) fn new_key() -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|source| PkiError::Make { doing: "making a key", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn authority(lifetime: Duration) -> Authority {
        let minted = Authority::mint("kubernetes", Validity::starting(now(), lifetime).unwrap()).unwrap();
        Authority::from_pem(&minted.certificate, &minted.key).unwrap()
    }

    fn leaf() -> Leaf {
        Leaf {
            common_name: "kube-apiserver".to_owned(),
            organization: Some("system:masters".to_owned()),
            dns_names: vec!["kubernetes".to_owned(), "localhost".to_owned()],
            addresses: vec!["127.0.0.1".parse().unwrap(), "10.96.0.1".parse().unwrap()],
            usage: Usage::ClientAndServer,
        }
    }

    #[test]
    fn a_leaf_says_what_was_asked_for() {
        let ca = authority(YEAR);
        let minted =
            ca.issue(&leaf(), Validity::starting(now(), Duration::from_secs(3600)).unwrap()).unwrap();
        let facts = Facts::from_pem(&minted.certificate).unwrap();
        assert_eq!(facts.common_name, "kube-apiserver");
        assert_eq!(facts.organizations, ["system:masters"]);
        assert_eq!(facts.dns_names, ["kubernetes", "localhost"]);
        assert_eq!(facts.addresses, leaf().addresses);
        assert_eq!(facts.not_before, now() - SignedDuration::from_mins(5));
        assert_eq!(facts.not_after, now() + SignedDuration::from_hours(1));
        assert!(!facts.is_authority);
        assert!(facts.for_servers && facts.for_clients);
        assert!(ca.issued(&facts));
        assert!(!authority(YEAR).issued(&facts), "another authority of the same name did not issue it");
    }

    #[test]
    fn a_leaf_never_outlives_its_authority() {
        let ca = authority(Duration::from_secs(3600));
        let minted = ca.issue(&leaf(), Validity::starting(now(), YEAR).unwrap()).unwrap();
        assert_eq!(
            Facts::from_pem(&minted.certificate).unwrap().not_after,
            now() + SignedDuration::from_hours(1)
        );
        let later = Validity::starting(now() + SignedDuration::from_hours(2), YEAR).unwrap();
        assert!(matches!(ca.issue(&leaf(), later), Err(PkiError::Validity { .. })));
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let validity = Validity::starting(now(), YEAR).unwrap();
        let (one, other) =
            (Authority::mint("one", validity).unwrap(), Authority::mint("other", validity).unwrap());
        let error = Authority::from_pem(&one.certificate, &other.key).unwrap_err();
        assert!(matches!(error, PkiError::Mismatch { subject } if subject == "one"));
    }

    #[test]
    fn a_private_key_shows_in_no_debug_output_or_error() {
        let minted = Authority::mint("ca", Validity::starting(now(), YEAR).unwrap()).unwrap();
        let body = minted.key.lines().nth(1).unwrap();
        assert!(!format!("{minted:?}").contains(body));
        let broken = minted.key.replacen(body, &body[4..], 1);
        let error = Authority::from_pem(&minted.certificate, &broken).unwrap_err();
        assert!(!format!("{error:?} {error}").contains(body));
    }

    #[test]
    fn a_request_gets_what_was_judged_and_not_what_it_asks_for() {
        let key = new_key().unwrap();
        let asked =
            parameters("system:admin", Some("system:masters"), Validity::starting(now(), YEAR).unwrap());
        let request = asked.serialize_request(&key).unwrap().pem().unwrap();
        let ca = authority(YEAR);
        let validity = Validity::starting(now(), Duration::from_secs(3600)).unwrap();
        let facts = Facts::from_pem(&ca.issue_for(&request, &leaf(), validity).unwrap()).unwrap();
        assert_eq!(facts.common_name, "kube-apiserver");
        assert!(ca.issued(&facts));
        assert_eq!(facts.public_key, key.subject_public_key_info());
        assert!(!facts.is_authority);
    }

    #[test]
    fn a_request_that_its_own_key_did_not_sign_gets_nothing() {
        let asked = parameters("x", None, Validity::starting(now(), YEAR).unwrap());
        let request = asked.serialize_request(&new_key().unwrap()).unwrap();
        let mut der = request.der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        let pem = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der)
        );
        let validity = Validity::starting(now(), YEAR).unwrap();
        assert!(matches!(authority(YEAR).issue_for(&pem, &leaf(), validity), Err(PkiError::Read { .. })));
    }

    #[test]
    fn an_authority_is_marked_as_one() {
        let minted = Authority::mint("etcd", Validity::starting(now(), YEAR).unwrap()).unwrap();
        assert!(Facts::from_pem(&minted.certificate).unwrap().is_authority);
    }
}
