//! OCI images: the layout, manifest and config of an image with one layer.
//!
//! Structs for exactly the fields that we write, and a reader that refuses what does not hang
//! together. The layer itself is a [`crate::tar`] stream; on a machine it lies unpacked beside
//! the layout, so the layout names it without carrying it.

mod layout;
mod schema;

pub use layout::{Layout, OciError, read, write};
pub use schema::Process;

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use crate::Digest;
use crate::contents::{ArchiveError, Contents};
use crate::manifest::Manifest;

/// An image of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The reference that pods use, fully qualified with a tag.
    pub name: String,
    /// What a container of it runs.
    pub process: Process,
    /// Its file system.
    pub layer: Layer,
}

/// An uncompressed layer, so that its digest is its diff id too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Of the tar stream.
    pub digest: Digest,
    /// Bytes of the tar stream.
    pub size: u64,
}

impl Layer {
    /// Names the layer that holds `manifest`, without keeping its bytes.
    ///
    /// # Errors
    /// Contents are missing or altered.
    pub fn of(manifest: &Manifest, contents: &dyn Contents) -> Result<Self, ArchiveError> {
        struct Counter(Sha256, u64);
        impl Write for Counter {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.update(bytes);
                self.1 = self.1.saturating_add(bytes.len() as u64);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut counter = Counter(Sha256::new(), 0);
        crate::tar::write(manifest, contents, 0, &mut counter)?;
        Ok(Self { digest: Digest::from_bytes(counter.0.finalize().into()), size: counter.1 })
    }
}
