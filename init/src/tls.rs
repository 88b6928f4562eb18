//! TLS as our own clients speak it: rustls over ring, one authority, PEM files.
//!
//! The probes and the cluster agent are clients of others' programs; the only server of ours is
//! the node API. Certificates are made in `trust::pki`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Why there is no TLS session.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("reading {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that does not hold what it should; what it does hold is not repeated.
    #[error("{} holds no usable {what}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Not a name that a certificate could bear.
    #[error("{0:?} is no server name")]
    Name(String),
    /// rustls refused.
    #[error("starting a TLS session: {0}")]
    Session(rustls::Error),
}

/// A certificate with its key.
pub struct Identity {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(redacted)")
    }
}

impl Identity {
    /// Reads two PEM files; they may be one and the same, as the kubelet keeps its pair.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pem = read(key)?;
        let key_der = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| TlsError::Content { path: key.to_owned(), what: "private key" })?;
        Ok(Self { certificates: certificates(certificate)?, key: key_der })
    }
}

/// A client that believes the authority in `authority` and shows `identity`, if any.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(authority: &Path, identity: Option<Identity>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(TlsError::Session)?;
    }
    // The provider is named here instead of installed for the process: no start-up order to get wrong.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Session)?
        .with_root_certificates(roots);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            builder.with_client_auth_cert(identity.certificates, identity.key).map_err(TlsError::Session)
        }
    }
}

/// A server that shows `identity`, to clients whom the authority in `authority` has signed: TLS 1.3 and nothing older.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(authority: &Path, identity: Identity) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(TlsError::Session)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| TlsError::Session(rustls::Error::General(error.to_string())))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Session)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.certificates, identity.key)
        .map_err(TlsError::Session)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // No resumption: each connection shows a certificate that is valid now, and nothing is kept for those that left.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = || TlsError::Content { path: path.to_owned(), what: "certificate" };
    let found =
        CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>().map_err(|_| content())?;
    if found.is_empty() { Err(content()) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use jiff::Timestamp;
    use trust::pki::{Authority, Validity};

    use super::*;

    #[test]
    fn a_pair_in_one_file_is_an_identity() {
        let validity = Validity::starting(Timestamp::now(), Duration::from_secs(60)).unwrap();
        let minted = Authority::mint("x", validity).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let both = dir.path().join("both.pem");
        fs::write(&both, format!("{}{}", minted.certificate, minted.key)).unwrap();
        let identity = Identity::load(&both, &both).unwrap();
        assert!(client_config(&both, Some(identity)).is_ok());
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        assert!(matches!(client_config(&path, None), Err(TlsError::File { .. })));
        fs::write(&path, "").unwrap();
        assert!(
            client_config(&path, None)
                .unwrap_err()
                .to_string()
                .contains("ca.crt holds no usable certificate")
        );
    }
}
