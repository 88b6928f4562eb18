//! Files of the store by their SHA-256.
//!
//! A blob is written to `tmp`, hashed on the way, put on disk and renamed to its digest: what has a
//! digest for a name has that digest, unless the disk damaged it since, which `verify` finds out.
//! Downloads live in `download`.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use image_format::Digest;
use sha2::{Digest as _, Sha256};

use super::entry::sync_directory;
use super::{Content, Store, StoreError};

/// What a re-check of a blob found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It is what its name says.
    Sound,
    /// It is not; it was moved here, so that the next fetch brings it anew.
    Damaged(PathBuf),
}

impl Store {
    /// Where the blob of that digest is, or would be.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.root.join("blobs/sha256").join(&hex[..2]).join(hex)
    }

    /// Whether the store has the blob.
    #[must_use]
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// The blob's path; `name` is for the message.
    ///
    /// # Errors
    /// The store does not have it.
    pub fn blob(&self, name: &str, digest: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.blob_path(digest);
        if path.is_file() {
            return Ok(path);
        }
        Err(StoreError::Missing { name: name.to_owned(), digest: *digest })
    }

    /// Keeps these bytes.
    ///
    /// # Errors
    /// The file system said no.
    pub fn keep(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.has_blob(&digest) {
            return Ok(digest);
        }
        let directory = self.root.join("tmp");
        let failed = |error| StoreError::io("writing to", &directory)(error);
        let mut file = tempfile::NamedTempFile::new_in(&directory).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        let (file, path) = file.keep().map_err(|error| failed(error.error))?;
        self.place(&file, &path, &digest)?;
        Ok(digest)
    }

    /// Puts a finished file of the store in the place of its digest.
    pub(super) fn place(&self, file: &File, path: &Path, digest: &Digest) -> Result<(), StoreError> {
        use std::os::unix::fs::PermissionsExt;
        let place = self.blob_path(digest);
        let directory = place.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(directory).map_err(StoreError::io("creating", directory))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o444))
            .map_err(StoreError::io("protecting", path))?;
        file.sync_all().map_err(StoreError::io("syncing", path))?;
        std::fs::rename(path, &place).map_err(StoreError::io("putting in place", &place))?;
        sync_directory(directory)
    }

    /// Hashes a blob anew. A damaged one is moved to `damaged/`.
    ///
    /// # Errors
    /// The file system said no.
    pub fn verify_blob(&self, digest: &Digest) -> Result<Health, StoreError> {
        let path = self.blob_path(digest);
        let file = File::open(&path).map_err(StoreError::io("opening", &path))?;
        if digest_of(file).map_err(StoreError::io("reading", &path))?.digest == *digest {
            return Ok(Health::Sound);
        }
        let directory = self.root.join("damaged");
        std::fs::create_dir_all(&directory).map_err(StoreError::io("creating", &directory))?;
        let aside = directory.join(digest.to_string());
        std::fs::rename(&path, &aside).map_err(StoreError::io("moving aside", &path))?;
        Ok(Health::Damaged(aside))
    }

    /// The digests of all blobs, sorted.
    ///
    /// # Errors
    /// The file system said no.
    pub fn blobs(&self) -> Result<Vec<Digest>, StoreError> {
        let root = self.root.join("blobs/sha256");
        let mut found = Vec::new();
        for entry in walkdir::WalkDir::new(&root).sort_by_file_name() {
            let entry = entry.map_err(|error| StoreError::io("listing", &root)(error.into()))?;
            if let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.push(digest);
            }
        }
        Ok(found)
    }
}

/// What a reader gives.
pub(super) fn digest_of(reader: impl Read) -> std::io::Result<Content> {
    let mut reader = BufReader::with_capacity(1 << 20, reader);
    let mut hasher = Sha256::new();
    let size = std::io::copy(&mut reader, &mut hasher)?;
    Ok(Content { digest: Digest::from_bytes(hasher.finalize().into()), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_blob_is_moved_aside_and_its_name_is_free_again() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let digest = store.keep(b"sound").unwrap();
        assert_eq!(store.verify_blob(&digest).unwrap(), Health::Sound);
        let path = store.blob_path(&digest);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, "rotten").unwrap();
        let Health::Damaged(aside) = store.verify_blob(&digest).unwrap() else { panic!("not noticed") };
        assert_eq!(std::fs::read(aside).unwrap(), b"rotten");
        assert!(!store.has_blob(&digest));
        assert_eq!(store.keep(b"sound").unwrap(), digest);
    }

    #[test]
    fn the_store_lists_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut kept = vec![store.keep(b"one").unwrap(), store.keep(b"two").unwrap()];
        kept.sort();
        assert_eq!(store.blobs().unwrap(), kept);
    }
}
