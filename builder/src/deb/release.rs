//! A suite's InRelease file: who signed it, and which digests it vouches for.
//!
//! Only the text under a good signature is looked at. A signature is good when a key of
//! `profiles/keys` made it, that key (or the signing subkey bound to it) has not expired and was not revoked. Checked
//! when a lock is made; later, the lock's digests are what counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image_format::Digest;
use jiff::Timestamp;
use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag};

/// What a suite vouches for.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its codename, such as `trixie`.
    pub codename: String,
    /// Its `Date:`, as written.
    pub date: String,
    /// Fingerprints of the keys whose signature is good.
    pub signed_by: Vec<String>,
    files: BTreeMap<String, (Digest, u64)>,
}

/// Why a suite is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A key file cannot be read.
    #[error("reading the archive key {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is no signed text.
    #[error("{suite}: InRelease is no signed text")]
    Malformed {
        /// The suite.
        suite: String,
        /// Why not.
        source: Box<pgp::errors::Error>,
    },
    /// Nobody we trust signed it.
    #[error(
        "{suite}: no good signature on InRelease by a key of profiles/keys (signed by {signers}); the mirror \
         altered it, or Debian changed its keys"
    )]
    Untrusted {
        /// The suite.
        suite: String,
        /// Who says to have signed it.
        signers: String,
    },
    /// It is not about the suite that was asked for.
    #[error("{suite}: InRelease is of {found}")]
    OtherSuite {
        /// The suite.
        suite: String,
        /// Its codename.
        found: String,
    },
    /// It is too old.
    #[error(
        "{suite}: InRelease was valid until {until}: the mirror lags behind, name another with --debian-mirror \
         URL"
    )]
    Expired {
        /// The suite.
        suite: String,
        /// Its last moment.
        until: String,
    },
    /// A field is missing or malformed.
    #[error("{suite}: InRelease: {what}")]
    Field {
        /// The suite.
        suite: String,
        /// What is wrong.
        what: String,
    },
}

/// Reads every `*.asc` of a directory.
///
/// # Errors
/// One cannot be read, or there is none.
pub fn load_keys(directory: &Path) -> Result<Vec<SignedPublicKey>, ReleaseError> {
    let failed = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| ReleaseError::Key {
        path: path.to_path_buf(),
        source,
    };
    let entries = std::fs::read_dir(directory).map_err(|error| failed(directory, error.into()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(directory, error.into()))?.path();
        if path.extension().is_some_and(|extension| extension == "asc") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(failed(directory, "there is no *.asc file".into()));
    }
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| failed(path, error.into()))?;
            let (key, _) = SignedPublicKey::from_string(&text).map_err(|error| failed(path, error.into()))?;
            Ok(key)
        })
        .collect()
}

impl Release {
    /// Verifies and reads an InRelease file.
    ///
    /// # Errors
    /// It is not believed, and why.
    pub fn verify(
        suite: &str,
        text: &str,
        keys: &[SignedPublicKey],
        now: Timestamp,
    ) -> Result<Self, ReleaseError> {
        let (message, _) = CleartextSignedMessage::from_string(text).map_err(|source| {
            ReleaseError::Malformed { suite: suite.to_owned(), source: Box::new(source) }
        })?;
        let signed = message.signed_text();
        let signed_by: Vec<String> = message
            .signatures()
            .iter()
            .filter_map(|signature| {
                keys.iter().find_map(|key| signer(key, signature, signed.as_bytes(), now))
            })
            .collect();
        if signed_by.is_empty() {
            let signers: Vec<String> = message
                .signatures()
                .iter()
                .flat_map(Signature::issuer_fingerprint)
                .map(|fingerprint| format!("{fingerprint:X}"))
                .collect();
            let signers = if signers.is_empty() { "nobody".to_owned() } else { signers.join(", ") };
            return Err(ReleaseError::Untrusted { suite: suite.to_owned(), signers });
        }
        Self::parse(suite, &signed.replace("\r\n", "\n"), signed_by, now)
    }

    fn parse(suite: &str, text: &str, signed_by: Vec<String>, now: Timestamp) -> Result<Self, ReleaseError> {
        let refuse = |what: &str| ReleaseError::Field { suite: suite.to_owned(), what: what.to_owned() };
        let paragraph: deb822_fast::Paragraph =
            text.parse().map_err(|error: deb822_fast::Error| refuse(&error.to_string()))?;
        let field = |name: &str| paragraph.get(name).ok_or_else(|| refuse(&format!("there is no {name}")));
        let codename = field("Codename")?.to_owned();
        if codename != suite {
            return Err(ReleaseError::OtherSuite { suite: suite.to_owned(), found: codename });
        }
        if let Some(until) = paragraph.get("Valid-Until")
            && moment(until).ok_or_else(|| refuse("Valid-Until is no date"))? < now
        {
            return Err(ReleaseError::Expired { suite: suite.to_owned(), until: until.to_owned() });
        }
        let mut files = BTreeMap::new();
        for line in field("SHA256")?.lines().filter(|line| !line.trim().is_empty()) {
            let entry = listed(line).ok_or_else(|| refuse(&format!("{line:?} is no digest, size and path")));
            let (path, file) = entry?;
            files.insert(path, file);
        }
        let date = field("Date")?.to_owned();
        Ok(Self { codename, date, signed_by, files })
    }

    /// The digest and size of a file below the suite's directory.
    ///
    /// # Errors
    /// The suite does not vouch for it.
    pub fn file(&self, path: &str) -> Result<(Digest, u64), ReleaseError> {
        self.files.get(path).copied().ok_or_else(|| ReleaseError::Field {
            suite: self.codename.clone(),
            what: format!("it does not list {path}"),
        })
    }
}

/// The fingerprint of what made the signature, when that is `key` or a signing subkey of it.
fn signer(key: &SignedPublicKey, signature: &Signature, text: &[u8], now: Timestamp) -> Option<String> {
    let created = |key: &dyn KeyDetails| i64::from(key.created_at().as_secs());
    let revoked = !key.details.revocation_signatures.is_empty();
    if revoked || !alive(created(&key.primary_key), &own_statements(key), now) {
        return None;
    }
    if signature.verify(&key.primary_key, text).is_ok() {
        return Some(format!("{:X}", key.primary_key.fingerprint()));
    }
    let subkey = key.public_subkeys.iter().find(|subkey| {
        let revoked =
            subkey.signatures.iter().any(|binding| binding.typ() == Some(SignatureType::SubkeyRevocation));
        let bindings: Vec<&Signature> = subkey.signatures.iter().collect();
        !revoked
            && bindings.iter().any(|binding| binding.key_flags().sign())
            && subkey.verify_bindings(&key.primary_key).is_ok()
            && alive(created(&subkey.key), &bindings, now)
            && signature.verify(&subkey.key, text).is_ok()
    })?;
    Some(format!("{:X}", subkey.key.fingerprint()))
}

/// What a key says about itself. Its user names carry other people's certifications, too.
fn own_statements(key: &SignedPublicKey) -> Vec<&Signature> {
    let about_users = key.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|signature| {
            signature.verify_certification(&key.primary_key, Tag::UserId, &user.id).is_ok()
        })
    });
    let about_key = key.details.direct_signatures.iter();
    about_users.chain(about_key.filter(|signature| signature.verify_key(&key.primary_key).is_ok())).collect()
}

/// Whether a key is within its life: it must say so itself. The youngest statement about its end counts.
fn alive(created: i64, statements: &[&Signature], now: Timestamp) -> bool {
    let youngest = statements.iter().max_by_key(|signature| signature.created().map(|made| made.as_secs()));
    let Some(youngest) = youngest else { return false };
    match youngest.key_expiration_time() {
        Some(life) if life.as_secs() > 0 => created + i64::from(life.as_secs()) > now.as_second(),
        _ => true,
    }
}

/// A line of the `SHA256` field: digest, size, path.
fn listed(line: &str) -> Option<(String, (Digest, u64))> {
    let mut words = line.split_whitespace();
    let (digest, size, path) = (words.next()?, words.next()?, words.next()?);
    Some((path.to_owned(), (digest.parse().ok()?, size.parse().ok()?)))
}

/// `Sat, 12 Sep 2026 07:55:41 UTC`.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim().replace(" UTC", " +0000");
    jiff::fmt::rfc2822::parse(&text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Origin: Debian
Codename: trixie
Date: Sat, 12 Sep 2026 07:55:41 UTC
Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC
SHA256:
 7778d3e3f303b7ddb8ce0fe7c8d57473a076c6bf2e8f241f75421d2396352498  9678380 main/binary-amd64/Packages.xz
";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_release_vouches_for_its_files() {
        let release = Release::parse("trixie", TEXT, Vec::new(), at("2026-09-13T00:00:00Z")).unwrap();
        let (digest, size) = release.file("main/binary-amd64/Packages.xz").unwrap();
        assert_eq!(size, 9_678_380);
        assert!(digest.to_string().starts_with("7778d3e3"));
        assert!(release.file("main/binary-amd64/Packages.zst").is_err());
    }

    #[test]
    fn a_release_past_its_end_is_refused() {
        let error = Release::parse("trixie", TEXT, Vec::new(), at("2026-09-20T00:00:00Z")).unwrap_err();
        assert!(matches!(error, ReleaseError::Expired { .. }), "{error}");
    }

    #[test]
    fn another_suite_s_release_is_refused() {
        let error = Release::parse("forky", TEXT, Vec::new(), at("2026-09-13T00:00:00Z")).unwrap_err();
        assert!(matches!(error, ReleaseError::OtherSuite { .. }), "{error}");
    }

    #[test]
    fn the_repository_s_archive_keys_load() {
        let keys = load_keys(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/keys")).unwrap();
        assert!(!keys.is_empty());
        for key in keys {
            assert!(!own_statements(&key).is_empty());
        }
    }
}
