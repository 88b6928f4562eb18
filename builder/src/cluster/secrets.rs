//! What is made once per cluster and kept by its operator: CAs, keys, tokens.
//!
//! Kept as one TOML file (0600) beside the signed configs, so that later changes to the
//! cluster are signed with the same CAs. Everything in here can take the cluster over.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use machine_config::pem::{self, PrivateKey, PublicKey, Secret};
use serde::{Deserialize, Serialize};
use trust::pki::{self, PkiError, Validity};

use super::plan::Plan;

/// Letters of a Kubernetes bootstrap token.
const TOKEN_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A cluster's secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Secrets {
    /// Names this founding of the etcd cluster: a wiped member can't join another one's.
    pub etcd_founding: String,
    /// 32 bytes in base64: encrypts Secrets in etcd's storage.
    pub encryption_key: Secret,
    /// The public part of the token that lets nodes in.
    pub bootstrap_token_id: String,
    /// Its secret part.
    pub bootstrap_token_secret: Secret,
    /// Signs service account tokens.
    pub service_account_key: PrivateKey,
    /// Its public half.
    pub service_account_public_key: PublicKey,
    /// Issues every Kubernetes certificate.
    pub kubernetes_ca: pem::Authority,
    /// Issues the aggregation layer's client certificate.
    pub front_proxy_ca: pem::Authority,
    /// Issues etcd's server and peer certificates.
    pub etcd_ca: pem::Authority,
    /// Issues etcd's client certificates.
    pub etcd_client_ca: pem::Authority,
    /// Issues the certificates of the node API, machines' and operators'; no machine holds its key.
    pub node_api_ca: pem::Authority,
}

/// Why secrets could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The kernel gave no random bytes.
    #[error("making random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// A key or CA.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// What came out is not the PEM that machines read.
    #[error(transparent)]
    Pem(#[from] pem::BadPem),
}

impl Secrets {
    /// Makes a new cluster's secrets.
    ///
    /// # Errors
    /// [`SecretsError`].
    pub fn generate(plan: &Plan, now: Timestamp) -> Result<Self, SecretsError> {
        let days = u64::from(plan.lifetimes.authority_days);
        let validity = Validity::starting(now, std::time::Duration::from_secs(days * 24 * 3600))?;
        let authority = |name: &str| -> Result<pem::Authority, SecretsError> {
            let minted = pki::Authority::mint(name, validity)?;
            Ok(pem::Authority { certificate: minted.certificate.try_into()?, key: minted.key.try_into()? })
        };
        let mut encryption_key = [0; 32];
        getrandom::fill(&mut encryption_key)?;
        let (public, private) = pki::key_pair()?;
        Ok(Self {
            etcd_founding: token(8)?,
            encryption_key: Secret::new(STANDARD.encode(encryption_key)),
            bootstrap_token_id: token(6)?,
            bootstrap_token_secret: Secret::new(token(16)?),
            service_account_key: private.try_into()?,
            service_account_public_key: public.try_into()?,
            kubernetes_ca: authority("kubernetes")?,
            front_proxy_ca: authority("front-proxy")?,
            etcd_ca: authority("etcd")?,
            etcd_client_ca: authority("etcd-client")?,
            node_api_ca: authority("node-api")?,
        })
    }
}

/// `length` random letters, five bits each.
fn token(length: usize) -> Result<String, getrandom::Error> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes)?;
    // 32 letters divide 256 evenly, so every letter is as likely as any other.
    Ok(bytes
        .into_iter()
        .map(|byte| char::from(TOKEN_ALPHABET[usize::from(byte) % TOKEN_ALPHABET.len()]))
        .collect())
}
