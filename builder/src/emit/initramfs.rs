//! The initramfs: stage 1 and the empty directories that it mounts on.
//!
//! One zstd frame by one worker thread: zstd's bytes depend on whether it has workers, not on how
//! many, and on nothing of the host.

use std::io::Write;

use anyhow::Context as _;
use image_format::contents::Contents;
use image_format::cpio;
use image_format::manifest::{Manifest, Node};

/// zstd's level. The kernel unpacks all levels equally fast.
const LEVEL: i32 = 19;

/// Where stage 1 mounts before it moves to the root file system.
const MOUNT_POINTS: [&str; 4] = ["/dev", "/proc", "/sys", "/sysroot"];

/// Writes the initramfs with `init` (a node of the root file system) as `/init`.
///
/// # Errors
/// `init`'s contents are missing, or writing fails.
pub fn write(init: &Node, contents: &dyn Contents, to: impl Write) -> anyhow::Result<()> {
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
