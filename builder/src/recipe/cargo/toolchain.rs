//! The host's Rust toolchain: its version, and the parts of it that a build sees.
//!
//! Asked of the `rustc` in PATH, in the repository, so that rust-toolchain.toml decides. A build sees
//! compiler, cargo and the standard library for one target, not the library's sources: with
//! them rustc writes the host's paths into panic messages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A Rust toolchain of the host.
#[derive(Debug, Clone)]
pub struct RustToolchain {
    /// All that `rustc -vV` says.
    pub version: String,
    sysroot: PathBuf,
}

impl RustToolchain {
    /// The toolchain that the repository at `root` is built with.
    ///
    /// # Errors
    /// There is none.
    pub fn of(root: &Path) -> Result<Self> {
        let ask = |arguments: &[&str]| -> Result<String> {
            let output = Command::new("rustc")
                .args(arguments)
                .current_dir(root)
                .output()
                .context("running rustc (our own components need a Rust toolchain on this host)")?;
            if !output.status.success() {
                bail!("rustc {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
            }
            String::from_utf8(output.stdout).context("reading what rustc says")
        };
        let version = ask(&["-vV"])?;
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim_end());
        Ok(Self { version, sysroot })
    }

    /// Each part with its place in the sandbox.
    ///
    /// # Errors
    /// The toolchain is incomplete.
    pub(super) fn parts(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut parts = vec![(self.sysroot.join("bin"), "/rust/bin".to_owned())];
        let library = self.sysroot.join("lib");
        let listing = || format!("listing {}", library.display());
        for entry in fs::read_dir(&library).with_context(listing)? {
            let entry = entry.with_context(listing)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(".so") {
                parts.push((entry.path(), format!("/rust/lib/{name}")));
            }
        }
        let target = format!("lib/rustlib/{}", super::TARGET);
        if !self.sysroot.join(&target).is_dir() {
            bail!(
                "the Rust toolchain at {} has no standard library for {}: `rustup target add {}`",
                self.sysroot.display(),
                super::TARGET,
                super::TARGET
            );
        }
        parts.push((self.sysroot.join(&target), format!("/rust/{target}")));
        Ok(parts)
    }
}
