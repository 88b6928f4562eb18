//! The slot image: file system, dm-verity superblock and hash tree in one file.
//!
//! Written in one pass, hashed on the way. UUIDs and salt come from the manifest's digest: other
//! contents have other ones, the same contents the same. Nothing follows the tree, nothing needs a
//! label: stage 1 finds the slot by the root hash alone.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, ensure};
use image_format::Digest;
use image_format::contents::Contents;
use image_format::erofs::{self, PackedFiles};
use image_format::manifest::Manifest;
use image_format::verity::{BLOCK_LEN, TreeWriter};
use uuid::Uuid;

/// Our own namespace for UUIDs made of names.
const NAMESPACE: Uuid = Uuid::from_u128(0x7b5d_3c2e_0f61_5d0a_9a43_51e6_a7c4_22d1);

/// What the kernel command line and the lab need to know of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its verity root hash.
    pub root: Digest,
    /// Where the file system ends and the verity superblock lies.
    pub hash_offset: u64,
    /// Bytes of the whole image.
    pub size: u64,
}

/// Version of the bytes that [`write`] makes of a manifest: part of an image's key. A change of the
/// layout, which breaks the test that pins a slot's root hash, needs another number here.
pub(super) const RECIPE: &str = "erofs 1, verity 1";

/// Writes the slot image of `manifest` to `path`.
///
/// # Errors
/// Contents are missing or not packed, or the file cannot be written.
pub fn write(
    manifest: &Manifest,
    contents: &dyn Contents,
    files: &dyn PackedFiles,
    path: &Path,
) -> anyhow::Result<Slot> {
    let writing = || format!("writing {}", path.display());
    let digest = manifest.digest();
    let salt = Digest::salted(b"slipway verity salt", digest.as_bytes());
    let mut to = Hashed {
        file: BufWriter::with_capacity(1 << 20, File::create(path).with_context(writing)?),
        tree: TreeWriter::new(salt.as_bytes()),
        length: 0,
    };
    erofs::write(manifest, contents, files, id("erofs", &digest).into_bytes(), &mut to)?;
    let Hashed { mut file, tree, length: hash_offset } = to;
    ensure!(
        hash_offset % BLOCK_LEN as u64 == 0,
        "the file system has {hash_offset} bytes, which are not whole blocks"
    );
    let tree = tree.finish(id("verity", &digest).into_bytes())?;
    tree.write_to(&mut file).with_context(writing)?;
    file.flush().with_context(writing)?;
    let size = hash_offset + tree.superblock.hash_area_len();
    Ok(Slot { root: tree.root, hash_offset, size })
}

fn id(what: &str, digest: &Digest) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{what} {digest}").as_bytes())
}

/// The file, with every byte hashed on its way there.
struct Hashed {
    file: BufWriter<File>,
    tree: TreeWriter,
    length: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.tree.write_all(bytes.get(..length).unwrap_or_default())?;
        self.length += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
