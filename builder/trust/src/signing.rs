//! Config-signing keys and signatures: the side that a machine never has.
//!
//! Key files and signatures are minisign's own formats, so `minisign -V` can judge them
//! and a key made by minisign works here. `envelope` is the other side: it verifies.
//! Nothing here touches a file: `slipway keys` and `slipway config sign` do.

use std::fmt;
use std::io::Cursor;

use minisign::{KeyPair, SecretKey, SecretKeyBox};

use crate::envelope;

/// Why a key could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The randomness, key derivation or serialisation of a new key.
    #[error("making a key pair: {0}")]
    Make(minisign::PError),
    /// The text is no minisign secret key, or the passphrase is not its.
    #[error("opening the signing key: {0} (a key with a passphrase needs SLIPWAY_PASSPHRASE or a terminal)")]
    Open(minisign::PError),
    /// Signing itself.
    #[error("signing: {0}")]
    Sign(minisign::PError),
}

/// A new key pair as the two files' texts.
pub struct NewKeys {
    /// The secret key file: 0600, never in an image.
    pub secret: String,
    /// The public key file: goes into images.
    pub public: String,
}

impl fmt::Debug for NewKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKeys").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Makes a key pair, encrypted when there is a passphrase.
///
/// # Errors
/// [`SigningError::Make`].
pub fn new_keys(passphrase: Option<String>) -> Result<NewKeys, SigningError> {
    let pair = match passphrase {
        Some(passphrase) => KeyPair::generate_encrypted_keypair(Some(passphrase)),
        None => KeyPair::generate_unencrypted_keypair(),
    }
    .map_err(SigningError::Make)?;
    let secret =
        pair.sk.to_box(Some("slipway config signing key")).map_err(SigningError::Make)?.into_string();
    let public = pair.pk.to_box().map_err(SigningError::Make)?.into_string();
    Ok(NewKeys { secret, public })
}

/// A secret key, ready to sign.
pub struct SigningKey(SecretKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

impl SigningKey {
    /// Reads a secret key file's text; `passphrase` is asked for only when the key is encrypted.
    ///
    /// # Errors
    /// [`SigningError::Open`].
    pub fn open(text: &str, passphrase: impl FnOnce() -> Option<String>) -> Result<Self, SigningError> {
        let boxed = || SecretKeyBox::from_string(text).map_err(SigningError::Open);
        // minisign tells an encrypted key only by refusing to open it plainly.
        let key = match boxed()?.into_unencrypted_secret_key() {
            Ok(key) => key,
            Err(refused) => match passphrase() {
                Some(passphrase) => boxed()?.into_secret_key(Some(passphrase)).map_err(SigningError::Open)?,
                None => return Err(SigningError::Open(refused)),
            },
        };
        Ok(Self(key))
    }

    /// Seals `payload` into an envelope; `comment` is covered by the signature too.
    ///
    /// # Errors
    /// [`SigningError::Sign`].
    pub fn seal(&self, payload: &[u8], comment: &str) -> Result<Vec<u8>, SigningError> {
        let signature = minisign::sign(
            None,
            &self.0,
            Cursor::new(payload),
            Some(comment),
            Some("slipway machine config"),
        )
        .map_err(SigningError::Sign)?;
        Ok(envelope::join(&signature.into_string(), payload))
    }
}
