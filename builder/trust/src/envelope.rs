//! The signed envelope around a machine config: exact bytes, one signature, a key id.
//!
//! Format: the line `slipway-config 1`, the four lines of a minisign signature, an empty
//! line, then the payload to the last byte. [`verify`] is the only way to a [`Verified`],
//! and it looks at nothing of the payload: parsing comes after, elsewhere.
//! Making signatures is `signing`'s job (feature `signing`), which no machine has.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The first line of every envelope that this crate reads and writes.
const MAGIC: &str = "slipway-config 1\n";
/// The first word of any version's first line.
const MAGIC_WORD: &[u8] = b"slipway-config ";
/// The first line of the signature. minisign does not cover it, so it is fixed here: no
/// byte of an envelope can change without a refusal.
const COMMENT: &str = "untrusted comment: slipway machine config\n";
/// The signature's other lines: signature, trusted comment, global signature.
const SIGNATURE_LINES: usize = 3;

/// Why bytes are not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Something else altogether.
    #[error("not a signed config: it does not begin with the line \"slipway-config 1\"")]
    NotAnEnvelope,
    /// A config, but nobody has signed it.
    #[error("the config is not signed")]
    Unsigned,
    /// The block where the signature should be is not one.
    #[error("the signature is damaged")]
    Damaged,
    /// Made by a newer command line.
    #[error("the envelope is of version {0:?}, this reads version 1")]
    UnknownVersion(String),
    /// Signed by somebody this image was not told to trust.
    #[error("signed by key {signer}, which is not trusted here (trusted: {})", list(.trusted))]
    UnknownKey {
        /// Who signed.
        signer: KeyId,
        /// Who might have.
        trusted: Vec<KeyId>,
    },
    /// The signature is not over these bytes.
    #[error("altered: the signature of key {0} does not match the bytes")]
    Altered(KeyId),
}

fn list(keys: &[KeyId]) -> String {
    if keys.is_empty() {
        return "nobody".to_owned();
    }
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Eight bytes that name a key, printed as minisign prints them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Why a text is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a minisign public key: a comment line and a line of 56 base64 characters are expected")]
pub struct BadPublicKey;

/// The public half of a config-signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: minisign_verify::PublicKey,
}

impl PublicKey {
    /// Reads a `.pub` file's text, or its second line alone.
    ///
    /// # Errors
    /// [`BadPublicKey`].
    pub fn parse(text: &str) -> Result<Self, BadPublicKey> {
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).ok_or(BadPublicKey)?;
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|_| BadPublicKey)?;
        Ok(Self { id: key_id(line).ok_or(BadPublicKey)?, key })
    }

    /// The name under which signatures refer to it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// Bytes whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    payload: Vec<u8>,
    signer: KeyId,
    comment: String,
}

impl Verified {
    /// The payload, byte by byte as it was signed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whose signature it is.
    #[must_use]
    pub fn signer(&self) -> KeyId {
        self.signer
    }

    /// The comment that the signature covers.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

/// Checks an envelope against the keys that may sign.
///
/// # Errors
/// [`EnvelopeError`]; nothing of the payload has been looked at then.
pub fn verify(bytes: &[u8], trusted: &[PublicKey]) -> Result<Verified, EnvelopeError> {
    let (signature_text, payload) = split(bytes)?;
    let signature = minisign_verify::Signature::decode(signature_text).map_err(|_| EnvelopeError::Damaged)?;
    let signer = signature_text.lines().nth(1).and_then(key_id).ok_or(EnvelopeError::Damaged)?;
    let Some(key) = trusted.iter().find(|key| key.id == signer) else {
        return Err(EnvelopeError::UnknownKey {
            signer,
            trusted: trusted.iter().map(PublicKey::id).collect(),
        });
    };
    // Signatures of minisign's old kind, not prehashed, are refused: our command line makes none.
    key.key.verify(payload, &signature, false).map_err(|_| EnvelopeError::Altered(signer))?;
    Ok(Verified { payload: payload.to_vec(), signer, comment: signature.trusted_comment().to_owned() })
}

/// Puts a `.minisig` text and its payload together; the signature's untrusted comment
/// is replaced by ours.
#[must_use]
pub fn join(signature: &str, payload: &[u8]) -> Vec<u8> {
    let mut envelope = [MAGIC.as_bytes(), COMMENT.as_bytes()].concat();
    for line in signature.lines().skip(1).take(SIGNATURE_LINES) {
        envelope.extend_from_slice(line.trim_end().as_bytes());
        envelope.push(b'\n');
    }
    envelope.push(b'\n');
    envelope.extend_from_slice(payload);
    envelope
}

/// Splits an envelope into its signature's text and its payload.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), EnvelopeError> {
    let Some(after_magic) = bytes.strip_prefix(MAGIC.as_bytes()) else {
        return Err(without_magic(bytes));
    };
    let Some(mut rest) = after_magic.strip_prefix(COMMENT.as_bytes()) else {
        let damaged = after_magic.starts_with(b"untrusted comment:");
        return Err(if damaged { EnvelopeError::Damaged } else { EnvelopeError::Unsigned });
    };
    for _ in 0..SIGNATURE_LINES {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(EnvelopeError::Damaged)?;
        rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
    }
    let signature = after_magic.get(..after_magic.len().saturating_sub(rest.len())).unwrap_or_default();
    let payload = rest.strip_prefix(b"\n").ok_or(EnvelopeError::Damaged)?;
    Ok((std::str::from_utf8(signature).map_err(|_| EnvelopeError::Damaged)?, payload))
}

/// What bytes without our first line are: a bare config is worth its own message.
fn without_magic(bytes: &[u8]) -> EnvelopeError {
    if let Some(rest) = bytes.strip_prefix(MAGIC_WORD) {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.get(..line.len().min(16)).unwrap_or_default();
        return EnvelopeError::UnknownVersion(String::from_utf8_lossy(line).into_owned());
    }
    let bare = std::str::from_utf8(bytes).is_ok_and(|text| {
        text.lines().any(|line| line.split('=').next().is_some_and(|key| key.trim() == "schema"))
    });
    if bare { EnvelopeError::Unsigned } else { EnvelopeError::NotAnEnvelope }
}

/// The key id in a base64 line of minisign's: two bytes of algorithm, eight of id.
fn key_id(line: &str) -> Option<KeyId> {
    let bytes = STANDARD.decode(line.trim()).ok()?;
    Some(KeyId(bytes.get(2..10)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The vector of minisign-verify's own documentation: made by minisign, not by us.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";

    fn key() -> PublicKey {
        PublicKey::parse(KEY).unwrap()
    }

    #[test]
    fn what_was_signed_comes_out_byte_by_byte() {
        let verified = verify(&join(SIGNATURE, b"test"), &[key()]).unwrap();
        assert_eq!(verified.payload(), b"test");
        assert_eq!(verified.signer().to_string(), "E7620F1842B4E81F");
        assert_eq!(verified.comment(), "timestamp:1633700835\tfile:test\tprehashed");
    }

    #[test]
    fn a_public_key_file_is_read_with_its_comment_line() {
        let text = format!("untrusted comment: minisign public key E7620F1842B4E81F\n{KEY}\n");
        assert_eq!(PublicKey::parse(&text).unwrap().id(), key().id());
        assert_eq!(PublicKey::parse("untrusted comment: nothing else\n"), Err(BadPublicKey));
    }

    #[test]
    fn any_altered_byte_is_refused() {
        let good = join(SIGNATURE, b"test");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(verify(&bad, &[key()]).is_err(), "byte {at} flipped and still accepted");
        }
        assert_eq!(verify(&join(SIGNATURE, b"tesT"), &[key()]), Err(EnvelopeError::Altered(key().id())));
        assert_eq!(verify(&join(SIGNATURE, b"test\n"), &[key()]), Err(EnvelopeError::Altered(key().id())));
    }

    #[test]
    fn an_altered_trusted_comment_is_refused() {
        let forged = SIGNATURE.replace("file:test", "file:best");
        assert_eq!(verify(&join(&forged, b"test"), &[key()]), Err(EnvelopeError::Altered(key().id())));
    }

    #[test]
    fn a_key_that_is_not_trusted_is_named() {
        let error = verify(&join(SIGNATURE, b"test"), &[]).unwrap_err();
        assert_eq!(error, EnvelopeError::UnknownKey { signer: key().id(), trusted: vec![] });
        assert!(error.to_string().contains("E7620F1842B4E81F"));
    }

    #[test]
    fn a_config_without_a_signature_is_told_from_something_else() {
        assert_eq!(verify(b"schema = 1\n[header]\n", &[key()]), Err(EnvelopeError::Unsigned));
        assert_eq!(verify(b"slipway-config 1\nschema = 1\n", &[key()]), Err(EnvelopeError::Unsigned));
        assert_eq!(
            verify(b"slipway-config 1\n\n\n\n\n\nschema = 1\n", &[key()]),
            Err(EnvelopeError::Unsigned)
        );
        assert_eq!(verify(b"\x7fELF\0\0\xff", &[key()]), Err(EnvelopeError::NotAnEnvelope));
        assert_eq!(verify(b"", &[key()]), Err(EnvelopeError::NotAnEnvelope));
        assert_eq!(
            verify(b"slipway-config 2\n", &[key()]),
            Err(EnvelopeError::UnknownVersion("2".to_owned()))
        );
    }
}
