//! Root file systems: mkfs.erofs fed with a tar stream.
//!
//! The program comes from the locked tool set `erofs` and runs through that set's own loader, so
//! the host's libraries have no say. It reads one pipe and writes one file; owner, times, UUID
//! and order are all ours. More workers do not change its bytes (tests compare).

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use image_format::contents::Contents;
use image_format::manifest::Manifest;
use image_format::tar;

/// lz4hc's highest level: 6 takes half the time for one percent more, which a worker's budget does not have.
const COMPRESSION: &str = "lz4hc,level=12";

/// Bytes of a physical cluster: how much is read and decompressed at once.
/// A quarter of this makes slots two percent larger.
const CLUSTER: u32 = 256 * 1024;

/// An unpacked tool set that holds mkfs.erofs.
#[derive(Debug, Clone)]
pub struct Mkfs {
    tree: PathBuf,
}

impl Mkfs {
    /// The program in `tree`, the root directory of an unpacked tool set.
    #[must_use]
    pub fn of_tree(tree: &Path) -> Self {
        Self { tree: tree.to_path_buf() }
    }

    /// What of it decides the bytes of an image, and so is part of an image's key: the options, and
    /// the tree, whose name in the store is the key of what is in it.
    #[must_use]
    pub fn recipe(&self) -> String {
        let tree = self.tree.file_name().unwrap_or_default().to_string_lossy();
        format!("{COMPRESSION} {CLUSTER} {tree}")
    }

    /// Writes the file system of `manifest` to `image`, using `image`'s directory for its
    /// temporary file.
    ///
    /// # Errors
    /// The program is missing or fails; its own words are in the message.
    pub fn run(
        &self,
        manifest: &Manifest,
        contents: &dyn Contents,
        uuid: uuid::Uuid,
        image: &Path,
    ) -> anyhow::Result<()> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let libraries = self.tree.join("usr/lib/x86_64-linux-gnu");
        let mut child = Command::new(libraries.join("ld-linux-x86-64.so.2"))
            .arg("--library-path")
            .arg(&libraries)
            .arg(self.tree.join("usr/bin/mkfs.erofs"))
            .args(["--quiet", "--tar=f", "-T0", "-x-1", "-b4096"])
            .arg(format!("-z{COMPRESSION}"))
            .arg(format!("-C{CLUSTER}"))
            .arg(format!("-U{uuid}"))
            .arg(format!("--workers={workers}"))
            .arg(image)
            .env_clear()
            .env("TMPDIR", image.parent().unwrap_or(Path::new("/tmp")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting mkfs.erofs of {}", self.tree.display()))?;
        let stdin = child.stdin.take().context("taking mkfs.erofs' stdin")?;
        // It says little (a pipe's buffer holds it all), so its output can wait until it has ended.
        let fed = feed(manifest, contents, stdin);
        let output = child.wait_with_output().context("waiting for mkfs.erofs")?;
        if let Err(error) = &fed
            && !is_broken_pipe(error)
        {
            return fed;
        }
        // A broken pipe is only how its own failure looks from here.
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("mkfs.erofs: {}: {}", output.status, said.trim());
        }
        fed
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    kinds.map(std::io::Error::kind).any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}

fn feed(manifest: &Manifest, contents: &dyn Contents, stdin: impl Write) -> anyhow::Result<()> {
    let mut stdin = BufWriter::with_capacity(1 << 20, stdin);
    tar::write(manifest, contents, 0, &mut stdin)?;
    stdin.flush().context("feeding mkfs.erofs")
}
