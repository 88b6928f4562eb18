//! What a certificate says, for whoever must decide about it.
//!
//! Reading only: nothing here checks a signature. A machine reads back certificates that
//! it made itself, and asks `Authority::issued` whether they still come from today's key.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::PkiError;

/// The parts of a certificate that decisions are made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Subject CN, empty when there is none.
    pub common_name: String,
    /// Subject O, in order.
    pub organizations: Vec<String>,
    /// DNS names among the alternative names.
    pub dns_names: Vec<String>,
    /// Addresses among them.
    pub addresses: Vec<IpAddr>,
    /// Begin of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
    /// May it sign certificates?
    pub is_authority: bool,
    /// May a server show it?
    pub for_servers: bool,
    /// May a client show it?
    pub for_clients: bool,
    /// Subject key identifier.
    pub(super) own_key_id: Option<Vec<u8>>,
    /// Authority key identifier.
    pub(super) issuer_key_id: Option<Vec<u8>>,
    /// SubjectPublicKeyInfo, DER.
    pub(super) public_key: Vec<u8>,
}

impl Facts {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// [`PkiError::Read`].
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let broken = |why: String| PkiError::Read { what: "a certificate", why };
        let (_, pem) = parse_x509_pem(text.as_bytes()).map_err(|e| broken(e.to_string()))?;
        let certificate = pem.parse_x509().map_err(|e| broken(e.to_string()))?;
        Self::read(&certificate).map_err(broken)
    }

    /// Reads a certificate as TLS carries it.
    ///
    /// # Errors
    /// [`PkiError::Read`].
    pub fn from_der(bytes: &[u8]) -> Result<Self, PkiError> {
        let broken = |why: String| PkiError::Read { what: "a certificate", why };
        let (_, certificate) = X509Certificate::from_der(bytes).map_err(|e| broken(e.to_string()))?;
        Self::read(&certificate).map_err(broken)
    }

    fn read(certificate: &X509Certificate<'_>) -> Result<Self, String> {
        let instant = |at: i64| Timestamp::from_second(at).map_err(|e| e.to_string());
        let mut facts = Self {
            common_name: names(certificate.subject().iter_common_name()).pop().unwrap_or_default(),
            organizations: organizations(certificate.subject()),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            not_before: instant(certificate.validity().not_before.timestamp())?,
            not_after: instant(certificate.validity().not_after.timestamp())?,
            is_authority: certificate.is_ca(),
            for_servers: false,
            for_clients: false,
            own_key_id: None,
            issuer_key_id: None,
            public_key: certificate.public_key().raw.to_vec(),
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(alternatives) => {
                    for name in &alternatives.general_names {
                        match name {
                            GeneralName::DNSName(dns) => facts.dns_names.push((*dns).to_owned()),
                            GeneralName::IPAddress(octets) => facts.addresses.extend(address(octets)),
                            _ => {}
                        }
                    }
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    facts.for_servers = usage.server_auth || usage.any;
                    facts.for_clients = usage.client_auth || usage.any;
                }
                ParsedExtension::SubjectKeyIdentifier(id) => facts.own_key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    facts.issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// When it is time for the next one: after two thirds of its life, which leaves a
    /// third for the renewal to go wrong and be tried again.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before.checked_add(life / 3 * 2).unwrap_or(self.not_after)
    }

    /// How long until it should be renewed; zero when it is due, or not valid yet.
    #[must_use]
    pub fn due_in(&self, now: Timestamp) -> SignedDuration {
        if now < self.not_before {
            return SignedDuration::ZERO;
        }
        self.renew_at().duration_since(now).max(SignedDuration::ZERO)
    }
}

/// The organizations of a name.
pub(super) fn organizations(name: &X509Name<'_>) -> Vec<String> {
    names(name.iter_organization())
}

/// Attribute values as text; what is no text is left out.
pub(super) fn names<'a>(
    attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Vec<String> {
    attributes.filter_map(|attribute| attribute.as_str().ok().map(str::to_owned)).collect()
}

/// An address of four or sixteen octets.
pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pki::{Authority, Validity};

    #[test]
    fn a_certificate_is_due_after_two_thirds_of_its_life() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let minted =
            Authority::mint("ca", Validity::starting(now, Duration::from_mins(85)).unwrap()).unwrap();
        let facts = Facts::from_pem(&minted.certificate).unwrap();
        assert_eq!(facts.renew_at(), now + SignedDuration::from_mins(55));
        assert_eq!(facts.due_in(now), SignedDuration::from_mins(55));
        assert_eq!(facts.due_in(now + SignedDuration::from_hours(1)), SignedDuration::ZERO);
    }

    #[test]
    fn a_certificate_from_the_future_is_due_at_once() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let minted =
            Authority::mint("ca", Validity::starting(now, Duration::from_hours(9)).unwrap()).unwrap();
        let facts = Facts::from_pem(&minted.certificate).unwrap();
        assert_eq!(facts.due_in(now - SignedDuration::from_hours(24)), SignedDuration::ZERO);
    }

    #[test]
    fn what_is_no_certificate_is_refused_without_repeating_it() {
        let error = Facts::from_pem("-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n")
            .unwrap_err();
        assert!(!error.to_string().contains("c2VjcmV0"));
    }
}
