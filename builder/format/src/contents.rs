//! File contents by digest, as writers ask for them.
//!
//! A manifest names contents, somebody else has them: the builder's store, or a map in a test.
//! [`Checked`] is the only way contents get into an artifact, and it counts and hashes what
//! passes, so an artifact never holds other bytes than its manifest says.

use std::collections::BTreeMap;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::Digest;
use crate::manifest::ImagePath;

/// Hands out contents.
pub trait Contents {
    /// A reader over the bytes that `digest` names.
    ///
    /// # Errors
    /// They are not there or cannot be opened.
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>>;
}

/// Contents in memory.
impl Contents for BTreeMap<Digest, Vec<u8>> {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        match self.get(digest) {
            Some(bytes) => Ok(Box::new(&bytes[..])),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("nobody has contents {digest}"))),
        }
    }
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading contents or writing the archive.
    #[error("adding {path}")]
    Io {
        /// What was being added.
        path: ImagePath,
        /// Why not; [`Altered`] inside when the contents are not what the manifest says.
        source: io::Error,
    },
    /// The format has no room for it.
    #[error("{path} has {size} bytes, more than the 4 GiB that a cpio archive can hold")]
    TooLarge {
        /// The file.
        path: ImagePath,
        /// Its bytes.
        size: u64,
    },
    /// Writing what belongs to no entry.
    #[error("ending the archive")]
    End(#[source] io::Error),
}

/// Contents that are not what the manifest says.
#[derive(Debug, thiserror::Error)]
#[error("the contents are {found} ({found_size} bytes or more), the manifest says {expected} ({size} bytes)")]
pub struct Altered {
    found: Digest,
    found_size: u64,
    expected: Digest,
    size: u64,
}

/// Passes contents on and fails at their end if they were not what was expected. It never passes
/// on more bytes than expected.
pub struct Checked<'a> {
    from: Box<dyn Read + 'a>,
    hash: Sha256,
    passed: u64,
    expected: Digest,
    size: u64,
    done: bool,
}

impl std::fmt::Debug for Checked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checked").field("expected", &self.expected).field("passed", &self.passed).finish()
    }
}

impl<'a> Checked<'a> {
    /// Opens the contents that `expected` names.
    ///
    /// # Errors
    /// Nobody has them.
    pub fn open(contents: &'a dyn Contents, expected: Digest, size: u64) -> io::Result<Self> {
        let from = contents.open(&expected)?;
        Ok(Self { from, hash: Sha256::new(), passed: 0, expected, size, done: false })
    }

    fn end(&mut self, found_size: u64) -> io::Result<usize> {
        self.done = true;
        let found = Digest::from_bytes(std::mem::take(&mut self.hash).finalize().into());
        let Self { expected, size, .. } = *self;
        if found_size == size && found == expected {
            return Ok(0);
        }
        let altered = Altered { found, found_size, expected, size };
        Err(io::Error::new(io::ErrorKind::InvalidData, altered))
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.done {
            return Ok(0);
        }
        let left = self.size.saturating_sub(self.passed);
        if left == 0 {
            // Whatever still comes is too much.
            let mut more = [0; 1];
            let len = self.from.read(&mut more)?;
            self.hash.update(&more[..len]);
            return self.end(self.passed.saturating_add(len as u64));
        }
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let len = self.from.read(&mut buffer[..len])?;
        if len == 0 {
            return self.end(self.passed);
        }
        self.hash.update(&buffer[..len]);
        self.passed += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stored: &[u8], named: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let contents = BTreeMap::from([(Digest::of(named), stored.to_vec())]);
        let mut out = Vec::new();
        Checked::open(&contents, Digest::of(named), size)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn contents_that_are_what_they_should_be_pass() {
        assert_eq!(read(b"slip", b"slip", 4).unwrap(), b"slip");
        assert_eq!(read(b"", b"", 0).unwrap(), b"");
    }

    #[test]
    fn too_few_too_many_and_other_bytes_are_refused() {
        for (stored, size) in [(&b"sli"[..], 4), (b"slipp", 4), (b"slop", 4), (b"x", 0)] {
            let named: &[u8] = if size == 0 { b"" } else { b"slip" };
            let error = read(stored, named, size).unwrap_err();
            assert!(error.get_ref().is_some_and(|inner| inner.is::<Altered>()), "{error}");
        }
    }

    #[test]
    fn contents_that_nobody_has_are_named() {
        let error = BTreeMap::new().open(&Digest::of(b"x")).err().unwrap();
        assert!(error.to_string().contains(&Digest::of(b"x").to_string()));
    }
}
