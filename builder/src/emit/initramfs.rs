//! The initramfs: stage 1 and the empty directories that it mounts on.
//!
//! One zstd frame by one worker thread: zstd's bytes depend on whether it has workers, not on how
//! many, and on nothing of the host.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use image_format::contents::Contents;
use image_format::cpio;
use image_format::manifest::{Kind, Manifest, Node};

use crate::store::{Area, Entry, KeyHasher, Store};

/// zstd's level. The kernel unpacks all levels equally fast.
const LEVEL: i32 = 19;

/// Where stage 1 mounts before it moves to the root file system.
const MOUNT_POINTS: [&str; 4] = ["/dev", "/proc", "/sys", "/sysroot"];

/// The file's name among a role's artifacts.
pub const FILE: &str = "initramfs.cpio.zst";

/// The initramfs with `init`, from the store: all roles have the same, and zstd takes its time.
///
/// # Errors
/// `init`'s contents are missing, or the store cannot be written.
pub(super) fn stored(store: &Store, init: &Node, contents: &dyn Contents) -> Result<PathBuf> {
    let Kind::File { sha256, .. } = &init.kind else { bail!("init is no file") };
    let key = KeyHasher::new("initramfs 1").field("init", sha256.as_bytes()).finish();
    let directory = match store.entry(Area::Images, &key, || {})? {
        Entry::Ready(directory) => directory,
        Entry::Vacant(claim) => {
            let path = claim.directory().join(FILE);
            let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
            write(init, contents, file)?;
            claim.commit()?
        }
    };
    Ok(directory.join(FILE))
}

/// Writes the initramfs with `init` (a node of the root file system) as `/init`.
///
/// # Errors
/// `init`'s contents are missing, or writing fails.
pub fn write(init: &Node, contents: &dyn Contents, to: impl Write) -> Result<()> {
    let mut manifest = Manifest::new();
    for path in MOUNT_POINTS {
        manifest.insert(path.parse()?, Node::directory(0o755))?;
    }
    manifest.insert("/init".parse()?, Node { mode: 0o755, ..init.clone() })?;
    let mut encoder = zstd::Encoder::new(to, LEVEL).context("starting zstd")?;
    encoder.multithread(1).context("giving zstd its worker")?;
    cpio::write(&manifest, contents, 0, &mut encoder)?;
    encoder.finish().context("ending the zstd frame")?.flush().context("flushing the initramfs")
}
