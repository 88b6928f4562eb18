//! X.509 as Slipway needs it: ECDSA P-256 authorities, leaves, and reading them back.
//!
//! `authority` mints authorities and issues leaves, `facts` reads a certificate so that
//! its owner can decide whether to renew it, `request` reads what a kubelet asks for.
//! Time always comes in as an argument, and keys leave only as PEM text inside [`Minted`].

mod authority;
mod facts;
mod request;

pub use authority::{Authority, Leaf, Minted, Usage, Validity};
pub use facts::Facts;
pub use request::Request;

/// Why a certificate or key could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// rcgen or ring refused.
    #[error("{doing}: {source}")]
    Make {
        /// The step, as a gerund and its object.
        doing: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// The text is not what it should be.
    #[error("reading {what}: {why}")]
    Read {
        /// A certificate, a key, a request.
        what: &'static str,
        /// Why not; never the text itself, which may be a key.
        why: String,
    },
    /// An authority's two halves belong to different pairs.
    #[error("the certificate of {subject:?} does not belong to the private key beside it")]
    Mismatch {
        /// The certificate's common name.
        subject: String,
    },
    /// A certificate that ends before it begins, or lies outside of what X.509 can say.
    #[error("a validity from {from} to {to} is impossible")]
    Validity {
        /// Not before.
        from: jiff::Timestamp,
        /// Not after.
        to: jiff::Timestamp,
    },
}

/// A new P-256 key pair without a certificate, for what is signed by itself, such as
/// Kubernetes' service account tokens: the public key, then the PKCS#8 private key, both PEM.
///
/// # Errors
/// [`PkiError::Make`] when there is no randomness.
pub fn key_pair() -> Result<(String, String), PkiError> {
    let pair = authority::new_key()?;
    Ok((pair.public_key_pem(), pair.serialize_pem()))
}
