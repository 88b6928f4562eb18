//! The slot image: file system, dm-verity superblock and hash tree in one file.
//!
//! UUIDs and salt come from the manifest's digest: other contents have other ones, the same
//! contents the same. Nothing follows the tree, nothing needs a label: stage 1 finds the slot by
//! the root hash alone.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context as _, ensure};
use image_format::contents::Contents;
use image_format::manifest::Manifest;
use image_format::verity::{BLOCK_LEN, TreeWriter};
use image_format::{Digest, erofs};
use uuid::Uuid;

use super::erofs::Mkfs;

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

/// Writes the slot image of `manifest` to `path`.
///
/// # Errors
/// mkfs.erofs fails, or the file cannot be written.
pub fn write(mkfs: &Mkfs, manifest: &Manifest, contents: &dyn Contents, path: &Path) -> anyhow::Result<Slot> {
    let digest = manifest.digest();
    mkfs.run(manifest, contents, id("erofs", &digest), path)?;
    append_verity(path, &digest).with_context(|| format!("adding verity to {}", path.display()))
}

fn id(what: &str, digest: &Digest) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{what} {digest}").as_bytes())
}

fn append_verity(path: &Path, digest: &Digest) -> anyhow::Result<Slot> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let hash_offset = pad(&mut file)?;
    let salt = Digest::salted(b"slipway verity salt", digest.as_bytes());
    let mut tree = TreeWriter::new(salt.as_bytes());
    file.seek(SeekFrom::Start(0))?;
    std::io::copy(&mut BufReader::with_capacity(1 << 20, &file), &mut tree)?;
    let tree = tree.finish(id("verity", digest).into_bytes())?;
    file.seek(SeekFrom::End(0))?;
    let mut to = BufWriter::with_capacity(1 << 20, &file);
    tree.write_to(&mut to)?;
    to.flush()?;
    drop(to);
    Ok(Slot { root: tree.root, hash_offset, size: file.metadata()?.len() })
}

/// Makes the file exactly as long as its superblock says, which is where stage 1 will look.
fn pad(file: &mut File) -> anyhow::Result<u64> {
    use std::os::unix::fs::FileExt;
    let mut superblock = [0; erofs::SUPERBLOCK_LEN];
    file.read_exact_at(&mut superblock, erofs::SUPERBLOCK_OFFSET).context("reading the superblock")?;
    let image_len = erofs::Superblock::parse(&superblock)?.image_len();
    let file_len = file.metadata()?.len();
    ensure!(
        image_len % BLOCK_LEN as u64 == 0 && file_len <= image_len,
        "mkfs.erofs wrote {file_len} bytes, its superblock says {image_len}"
    );
    file.set_len(image_len)?;
    Ok(image_len)
}
