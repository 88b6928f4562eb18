//! Certificates and keys that outlive a reboot: one file in STATE, read and replaced whole.
//!
//! One file, so that a certificate and its key never belong to different renewals after a
//! power cut. What cannot be read is as good as absent: everything in it can be minted anew.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trust::pki::{Facts, Minted};

use crate::agent::files::{self, FileError};

/// A dozen pairs of a kilobyte or two.
const SIZE_MAX: u64 = 256 * 1024;

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// STATE.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not expressible.
    #[error("writing down certificates: {0}")]
    Write(#[from] toml::ser::Error),
}

/// Certificates by name.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Store {
    #[serde(default)]
    leaf: BTreeMap<String, Pair>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Pair {
    certificate: String,
    key: String,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.leaf.keys()).finish()
    }
}

impl Store {
    /// Reads what was kept; nothing on the first boot.
    pub(super) fn load(path: &Path) -> Self {
        let text = match files::read_text(path, SIZE_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(%error, "minting all certificates anew");
                return Self::default();
            }
        };
        toml::from_str(&text).unwrap_or_else(|_| {
            // The parser's message would quote the file, which holds keys.
            tracing::warn!(path = %path.display(), "damaged: minting all certificates anew");
            Self::default()
        })
    }

    /// Keeps all of it.
    pub(super) fn save(&self, path: &Path) -> Result<(), StoreError> {
        if let Some(directory) = path.parent() {
            files::make_directory(directory, 0o700)?;
        }
        files::replace(path, toml::to_string(self)?.as_bytes(), 0o600)?;
        Ok(())
    }

    /// What the certificate `name` says, if there is one.
    pub(super) fn facts(&self, name: &str) -> Option<Facts> {
        Facts::from_pem(&self.leaf.get(name)?.certificate).ok()
    }

    /// Its two PEM texts.
    pub(super) fn pair(&self, name: &str) -> Option<(&str, &str)> {
        self.leaf.get(name).map(|pair| (pair.certificate.as_str(), pair.key.as_str()))
    }

    /// Puts a new one in the place of the old.
    pub(super) fn put(&mut self, name: &str, minted: Minted) {
        self.leaf.insert(name.to_owned(), Pair { certificate: minted.certificate, key: minted.key });
    }

    /// A store of those that `keep` names.
    pub(super) fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = self.leaf.iter().filter(|(name, _)| keep(name));
        Self { leaf: kept.map(|(name, pair)| (name.clone(), pair.clone())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn minted() -> Minted {
        Minted { certificate: "C".to_owned(), key: "K-secret".to_owned() }
    }

    #[test]
    fn what_was_kept_is_there_after_a_reboot_and_roots_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pki/leaves.toml");
        let mut store = Store::default();
        store.put("etcd-peer", minted());
        store.put("etcd-admin", minted());
        store.only(|name| name != "etcd-admin").save(&path).unwrap();
        let again = Store::load(&path);
        assert_eq!(again.pair("etcd-peer"), Some(("C", "K-secret")));
        assert_eq!(again.pair("etcd-admin"), None);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{again:?}").contains("K-secret"));
    }

    #[test]
    fn a_damaged_store_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leaves.toml");
        fs::write(&path, "[leaf.x]\ncertificate = ").unwrap();
        assert_eq!(Store::load(&path).pair("x"), None);
    }
}
