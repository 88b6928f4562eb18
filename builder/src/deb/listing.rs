//! What an unpacked tree should hold: a file in its root, one line per file and link.
//!
//! A line is a digest, or `-> target` for a symbolic link, and the absolute path. Written while the tree
//! is unpacked; `verify_tree` compares. Hard links are listed once, by the name that came first.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image_format::Digest;
use sha2::{Digest as _, Sha256};

use super::archive::DebError;

/// The listing's name in the root of its tree.
pub const NAME: &str = ".slipway-listing";

/// The lines of a listing, by path.
#[derive(Debug, Default)]
pub(super) struct Listing(BTreeMap<PathBuf, String>);

/// What a comparison of a tree with its listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeHealth {
    /// Every file is what it should be.
    Sound,
    /// The tree has no listing.
    Unlisted,
    /// This one is not.
    Damaged(String),
}

impl Listing {
    pub(super) fn file(&mut self, path: &Path, digest: &Digest) {
        self.0.insert(path.to_path_buf(), digest.to_string());
    }

    pub(super) fn link(&mut self, path: &Path, target: &Path) {
        self.0.insert(path.to_path_buf(), said(target));
    }

    pub(super) fn save(&self, root: &Path) -> io::Result<()> {
        let mut text = String::new();
        for (path, what) in &self.0 {
            text += &format!("{what}\t{}\n", path.display());
        }
        fs::write(root.join(NAME), text)
    }
}

fn said(target: &Path) -> String {
    format!("-> {}", target.display())
}

/// Compares a tree with its listing.
///
/// # Errors
/// The file system said no; a file that is gone is damage, not an error.
pub fn verify_tree(root: &Path) -> Result<TreeHealth, DebError> {
    let path = root.join(NAME);
    let failed = |path: &Path| {
        let package = path.to_path_buf();
        move |source| DebError::Read { package, source }
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(TreeHealth::Unlisted),
        Err(error) => return Err(failed(&path)(error)),
    };
    for line in text.lines() {
        let Some((what, name)) = line.split_once('\t') else {
            return Ok(TreeHealth::Damaged(path.display().to_string()));
        };
        let place = root.join(name.trim_start_matches('/'));
        let found = match found(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&place)(error)),
            found => found.ok(),
        };
        if found.as_deref() != Some(what) {
            return Ok(TreeHealth::Damaged(format!("{name} in {}", root.display())));
        }
    }
    Ok(TreeHealth::Sound)
}

/// What a listing would say about a place.
fn found(place: &Path) -> io::Result<String> {
    if place.symlink_metadata()?.is_symlink() {
        return Ok(said(&fs::read_link(place)?));
    }
    let mut hashing = Hashing::new(io::sink());
    io::copy(&mut File::open(place)?, &mut hashing)?;
    Ok(hashing.digest().to_string())
}

/// A writer that hashes what passes.
pub(super) struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    pub(super) fn digest(self) -> Digest {
        Digest::from_bytes(self.hasher.finalize().into())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
