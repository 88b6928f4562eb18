//! A certificate signing request, as the approver of kubelet certificates reads it.
//!
//! Only what it asks for. That the requester holds the key has been checked by the API
//! server when the request was created, and is checked again by the signer.

use std::net::IpAddr;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use super::PkiError;
use super::facts::{address, names, organizations};

/// What somebody asks a signer to confirm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Every CN of the subject, in order.
    pub common_names: Vec<String>,
    /// Every O of the subject, in order.
    pub organizations: Vec<String>,
    /// DNS names among the alternative names.
    pub dns_names: Vec<String>,
    /// Addresses among them.
    pub addresses: Vec<IpAddr>,
    /// Alternative names of any other kind: mail addresses, URIs, malformed addresses.
    pub other_names: usize,
}

impl Request {
    /// Reads a PEM request.
    ///
    /// # Errors
    /// [`PkiError::Read`].
    pub fn from_pem(text: &[u8]) -> Result<Self, PkiError> {
        let broken = |why: String| PkiError::Read { what: "a certificate request", why };
        let (_, pem) = parse_x509_pem(text).map_err(|e| broken(e.to_string()))?;
        let (_, request) =
            X509CertificationRequest::from_der(&pem.contents).map_err(|e| broken(e.to_string()))?;
        let subject = &request.certification_request_info.subject;
        let mut wanted = Self {
            common_names: names(subject.iter_common_name()),
            organizations: organizations(subject),
            ..Self::default()
        };
        for extension in request.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(alternatives) = extension {
                for name in &alternatives.general_names {
                    match name {
                        GeneralName::DNSName(dns) => wanted.dns_names.push((*dns).to_owned()),
                        GeneralName::IPAddress(octets) => match address(octets) {
                            Some(address) => wanted.addresses.push(address),
                            None => wanted.other_names = wanted.other_names.saturating_add(1),
                        },
                        _ => wanted.other_names = wanted.other_names.saturating_add(1),
                    }
                }
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_request_says_what_it_asks_for() {
        let mut params = CertificateParams::new(["w1".to_owned(), "10.77.0.21".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://elsewhere".try_into().unwrap()));
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "system:nodes");
        subject.push(DnType::CommonName, "system:node:w1");
        params.distinguished_name = subject;
        let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();

        let request = Request::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(request.common_names, ["system:node:w1"]);
        assert_eq!(request.organizations, ["system:nodes"]);
        assert_eq!(request.dns_names, ["w1"]);
        assert_eq!(request.addresses, ["10.77.0.21".parse::<IpAddr>().unwrap()]);
        assert_eq!(request.other_names, 1);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(
            Request::from_pem(
                b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
            )
            .is_err()
        );
        assert!(Request::from_pem(b"").is_err());
    }
}
