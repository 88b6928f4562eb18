//! Keys and certificates as they travel in a config: PEM text.
//!
//! Only the label is looked at here; `trust` parses the contents. A private key never
//! shows in `Debug` output, so that no log or error can carry one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not the PEM that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a PEM {expected}: it must begin with -----BEGIN {expected}-----")]
pub struct BadPem {
    expected: &'static str,
}

/// One or more X.509 certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Certificate(String);

impl Certificate {
    /// The PEM text.
    #[must_use]
    pub fn as_pem(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Certificate {
    type Error = BadPem;
    fn try_from(text: String) -> Result<Self, BadPem> {
        if text.trim_start().starts_with("-----BEGIN CERTIFICATE-----") {
            Ok(Self(text))
        } else {
            Err(BadPem { expected: "CERTIFICATE" })
        }
    }
}

impl From<Certificate> for String {
    fn from(certificate: Certificate) -> String {
        certificate.0
    }
}

/// A PKCS#8 private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PrivateKey(String);

impl PrivateKey {
    /// The PEM text. Whoever writes it to a file makes that file 0600 first.
    #[must_use]
    pub fn as_pem(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PrivateKey {
    type Error = BadPem;
    fn try_from(text: String) -> Result<Self, BadPem> {
        if text.trim_start().starts_with("-----BEGIN PRIVATE KEY-----") {
            Ok(Self(text))
        } else {
            Err(BadPem { expected: "PRIVATE KEY" })
        }
    }
}

impl From<PrivateKey> for String {
    fn from(key: PrivateKey) -> String {
        key.0
    }
}

/// A public key by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(String);

impl PublicKey {
    /// The PEM text.
    #[must_use]
    pub fn as_pem(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PublicKey {
    type Error = BadPem;
    fn try_from(text: String) -> Result<Self, BadPem> {
        if text.trim_start().starts_with("-----BEGIN PUBLIC KEY-----") {
            Ok(Self(text))
        } else {
            Err(BadPem { expected: "PUBLIC KEY" })
        }
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// A certificate authority that may issue: its certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Authority {
    /// The CA certificate.
    pub certificate: Certificate,
    /// Its private key.
    pub key: PrivateKey,
}

/// A secret text (token, encryption key) that never shows in `Debug` output.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
