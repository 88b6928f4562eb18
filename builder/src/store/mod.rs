//! The store: everything fetched, unpacked or built, found by digest or key.
//!
//! `blob` holds downloads by SHA-256, `download` fills it over HTTP, `entry` makes directories
//! (trees, builds, images) once per key. Nothing in it is ever half there: a file or directory
//! appears by rename after its bytes are on disk, so a kill at any moment and two processes at
//! once leave it sound. What goes in is decided elsewhere; what lies where is at [`Store`].

use std::path::{Path, PathBuf};

use image_format::Digest;
use sha2::Digest as _;

pub mod blob;
pub mod download;
pub mod entry;

pub use blob::Health;
pub use download::{Downloader, Origin, Wanted};
pub use entry::{Area, Claim, Entry};

/// The store. Cheap to clone; clones are the same store.
///
/// Below its root: `blobs/sha256/XX/…`, `partial/…` (unfinished downloads), `damaged/…`,
/// `trees/KEY`, `built/KEY`, `packs/KEY`, `images/KEY`, `go/mod`, `go/cache`, `cargo`, `locks/…`, `tmp/…`.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error(
        "the disk that holds the store is full: {action} {}; free some space there or name another place \
         with --store DIR, then run the same command again (the store is sound, unfinished downloads are \
         kept)",
        path.display()
    )]
    DiskFull {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
    },
    /// Neither a home directory nor a cache directory nor `--store`.
    #[error("no place for the store: set HOME, SLIPWAY_STORE or --store DIR")]
    NoPlace,
    /// What came is not what was locked.
    #[error(
        "{name}: {expected} is expected, {from} gave {found}; nothing of it was kept: try another mirror with \
         --debian-mirror URL, or run `slipway lock` if the archive itself has changed"
    )]
    WrongDigest {
        /// What was wanted.
        name: String,
        /// Where it came from.
        from: String,
        /// What was locked.
        expected: Box<Content>,
        /// What came.
        found: Box<Content>,
    },
    /// The server has it no more.
    #[error(
        "{name} is gone: version {described} was at {path} when it was locked, and {from} answers {status}; a \
         newer one has probably replaced it: run `slipway lock`, or name a mirror that keeps old versions \
         with --debian-mirror URL"
    )]
    Vanished {
        /// What was wanted.
        name: String,
        /// Version as the lock says.
        described: String,
        /// Path as the lock says.
        path: String,
        /// Which server.
        from: String,
        /// Its answer.
        status: u16,
    },
    /// The transfer broke off too often.
    #[error(
        "{name}: {from} broke off after {got} of {expected} bytes, {attempts} times without progress: \
         {reason}; what came is kept, run `slipway fetch` again to resume"
    )]
    Interrupted {
        /// What was wanted.
        name: String,
        /// Which server.
        from: String,
        /// Bytes here.
        got: u64,
        /// Bytes wanted.
        expected: u64,
        /// How often it was tried.
        attempts: u32,
        /// The last reason.
        reason: String,
    },
    /// A server does not give what it should.
    #[error("{name}: {url}: {reason}")]
    Unreachable {
        /// What was wanted.
        name: String,
        /// Its address.
        url: String,
        /// The last reason.
        reason: String,
    },
    /// It is not in the store, and this command does not fetch.
    #[error("{name} is not in the store (sha256 {digest}): run `slipway fetch`")]
    Missing {
        /// What was wanted.
        name: String,
        /// Its digest.
        digest: Digest,
    },
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256 {} ({} bytes)", self.digest, self.size)
    }
}

impl StoreError {
    /// An `io::Error` with what was being done; a full disk gets its own kind.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

impl Store {
    /// Opens the store, making its directories where they are missing.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io("finding", root))?;
        let store = Self { root };
        for directory in
            ["blobs/sha256", "partial", "trees", "built", "packs", "images", "go", "locks", "tmp"]
        {
            let path = store.root.join(directory);
            std::fs::create_dir_all(&path).map_err(StoreError::io("creating", &path))?;
        }
        Ok(store)
    }

    /// `$XDG_CACHE_HOME/slipway`, or `~/.cache/slipway`.
    ///
    /// # Errors
    /// There is neither.
    pub fn default_directory() -> Result<PathBuf, StoreError> {
        let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("slipway"))
            .ok_or(StoreError::NoPlace)
    }

    /// Its directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Go's module cache (`GOMODCACHE`).
    #[must_use]
    pub fn go_modules(&self) -> PathBuf {
        self.root.join("go/mod")
    }

    /// Go's build cache (`GOCACHE`).
    #[must_use]
    pub fn go_cache(&self) -> PathBuf {
        self.root.join("go/cache")
    }
}

/// A key: the digest of labelled inputs, each with its length, so that no two lists collide.
#[derive(Debug, Clone)]
pub struct KeyHasher(sha2::Sha256);

impl KeyHasher {
    /// Starts a key of this kind; change the kind's text when its outputs change for equal inputs.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self(sha2::Sha256::new()).field("kind", kind)
    }

    /// Adds an input.
    #[must_use]
    pub fn field(mut self, label: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [label.as_bytes(), value.as_ref()] {
            self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_where_one_input_ends_and_the_next_begins() {
        let one = KeyHasher::new("k").field("a", "bc").finish();
        let two = KeyHasher::new("k").field("ab", "c").finish();
        assert_ne!(one, two);
    }
}
