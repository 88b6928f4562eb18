//! Where the contents of a root file system lie: in files of the store, or in memory.
//!
//! Components bring files, the builder makes a few more (services, image.toml, pod images'
//! indexes). Writers see neither, only digests; what a file really holds is checked as it passes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use image_format::Digest;
use image_format::contents::Contents;
use image_format::manifest::{ImagePath, Kind, Manifest, Node};

/// Contents by digest.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    sources: BTreeMap<Digest, Source>,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Stored {
    /// Adds the files that `manifest` lists, which lie below `files` under their image paths.
    pub fn add_tree(&mut self, manifest: &Manifest, files: &Path) {
        for (path, node) in manifest.iter() {
            if let Kind::File { sha256, .. } = node.kind {
                self.add_file(sha256, files.join(path.relative()));
            }
        }
    }

    /// Adds one file.
    pub fn add_file(&mut self, sha256: Digest, file: PathBuf) {
        self.sources.entry(sha256).or_insert(Source::File(file));
    }

    /// Adds bytes, and makes the node of a file of root's that holds them.
    pub fn add_bytes(&mut self, bytes: impl Into<Vec<u8>>, mode: u16) -> Node {
        let bytes = bytes.into();
        let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
        self.sources.insert(sha256, Source::Bytes(bytes));
        Node::file(sha256, size, mode)
    }

    /// Adds all that `other` has.
    pub fn add_all(&mut self, other: Self) {
        for (sha256, source) in other.sources {
            self.sources.entry(sha256).or_insert(source);
        }
    }

    /// The file's contents, for the few small ones that the builder itself reads.
    ///
    /// # Errors
    /// There is no such file in `manifest`, or its contents cannot be read.
    pub fn read(&self, manifest: &Manifest, path: &ImagePath) -> io::Result<Vec<u8>> {
        let Some(Node { kind: Kind::File { sha256, .. }, .. }) = manifest.get(path) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{path} is no file of the image")));
        };
        let mut bytes = Vec::new();
        self.open(sha256)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Contents for Stored {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        match self.sources.get(digest) {
            Some(Source::Bytes(bytes)) => Ok(Box::new(&bytes[..])),
            Some(Source::File(path)) => match File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => {
                    Err(io::Error::new(error.kind(), format!("opening {}: {error}", path.display())))
                }
            },
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("nobody has contents {digest}"))),
        }
    }
}
