//! What a component's build leaves in the store: its files and their manifest.
//!
//! A recipe declares each output with its place in the image; only what is declared is kept.
//! `files/` holds the contents at their image paths, `manifest.json` says what they are (mode and
//! owner come from there, never from the disk), `packages.json` which Debian package a file is
//! from where there is one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image_format::Digest;
use image_format::manifest::{ImagePath, Manifest, Node};
use sha2::{Digest as _, Sha256};

/// One thing a build declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its place in the image.
    pub path: ImagePath,
    /// Permission bits; a link's do not count.
    pub mode: u16,
    /// What is there.
    pub content: Content,
    /// The Debian package that it is from.
    pub package: Option<String>,
}

/// What an output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A link and what it says.
    Symlink(String),
    /// A file of the build's own, which may be moved away.
    Made(PathBuf),
    /// A file that others use too.
    Copied(PathBuf),
    /// A file of these bytes.
    Bytes(Vec<u8>),
}

/// The result of a component's build, in the store.
#[derive(Debug, Clone)]
pub struct Built {
    /// The key of its inputs.
    pub key: Digest,
    /// Its directory in the store.
    pub directory: PathBuf,
    /// Its files.
    pub manifest: Manifest,
    /// Which Debian package a path is from; empty for what is built here.
    pub packages: BTreeMap<ImagePath, String>,
}

impl Output {
    /// An executable file that the build made.
    #[must_use]
    pub fn program(path: ImagePath, made: PathBuf) -> Self {
        Self { path, mode: 0o755, content: Content::Made(made), package: None }
    }

    /// A link.
    #[must_use]
    pub fn symlink(path: ImagePath, target: impl Into<String>) -> Self {
        Self { path, mode: 0o777, content: Content::Symlink(target.into()), package: None }
    }
}

impl Built {
    /// Reads a finished result.
    ///
    /// # Errors
    /// It is damaged.
    pub fn load(key: Digest, directory: PathBuf) -> Result<Self> {
        let read = |name: &str| {
            let path = directory.join(name);
            fs::read(&path).with_context(|| format!("reading {}", path.display()))
        };
        let manifest = Manifest::from_json(&read("manifest.json")?)
            .with_context(|| format!("reading {}/manifest.json", directory.display()))?;
        let packages = serde_json::from_slice(&read("packages.json")?)
            .with_context(|| format!("reading {}/packages.json", directory.display()))?;
        Ok(Self { key, directory, manifest, packages })
    }

    /// The file on the host that has the contents of a regular file of the manifest.
    #[must_use]
    pub fn file(&self, path: &ImagePath) -> PathBuf {
        self.directory.join("files").join(path.relative())
    }
}

/// Puts outputs and their manifest into `directory`.
///
/// # Errors
/// An output is missing or declared twice, or the file system said no.
pub fn keep(directory: &Path, outputs: Vec<Output>) -> Result<()> {
    let files = directory.join("files");
    make_dir(&files)?;
    let mut manifest = Manifest::new();
    let mut packages = BTreeMap::new();
    for output in outputs {
        let place = files.join(output.path.relative());
        let node = put(&output, &place).with_context(|| format!("keeping {}", output.path))?;
        manifest.insert(output.path.clone(), node).context("listing what was built")?;
        if let Some(package) = output.package {
            packages.insert(output.path, package);
        }
    }
    let write = |name: &str, text: &[u8]| {
        fs::write(directory.join(name), text).with_context(|| format!("writing {name} of a build"))
    };
    write("manifest.json", manifest.to_json().as_bytes())?;
    write("packages.json", &serde_json::to_vec(&packages).context("writing packages.json of a build")?)
}

/// Puts one output at its place in the store.
fn put(output: &Output, place: &Path) -> Result<Node> {
    if let Some(parent) = place.parent() {
        make_dir(parent)?;
    }
    match &output.content {
        Content::Directory => {
            make_dir(place)?;
            return Ok(Node::directory(output.mode));
        }
        Content::Symlink(target) => {
            std::os::unix::fs::symlink(target, place)
                .with_context(|| format!("linking {}", place.display()))?;
            return Ok(Node::symlink(target.clone()));
        }
        Content::Made(from) => {
            fs::rename(from, place).with_context(|| format!("taking {}", from.display()))?;
        }
        Content::Copied(from) => {
            fs::copy(from, place).with_context(|| format!("copying {}", from.display()))?;
        }
        Content::Bytes(bytes) => {
            fs::write(place, bytes).with_context(|| format!("writing {}", place.display()))?;
        }
    }
    // Readable by whoever reads the store, executable where it may be run from there (kubectl);
    // the image's mode is the manifest's.
    let on_disk = if output.mode & 0o111 == 0 { 0o644 } else { 0o755 };
    fs::set_permissions(place, fs::Permissions::from_mode(on_disk))
        .with_context(|| format!("changing the mode of {}", place.display()))?;
    let (digest, size) = digest_of(place)?;
    Ok(Node::file(digest, size, output.mode))
}

fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))
}

/// Digest and size of a file.
///
/// # Errors
/// It cannot be read.
pub fn digest_of(path: &Path) -> Result<(Digest, u64)> {
    let reading = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(reading)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0_u64;
    loop {
        let got = file.read(&mut buffer).with_context(reading)?;
        if got == 0 {
            return Ok((Digest::from_bytes(hasher.finalize().into()), size));
        }
        hasher.update(buffer.get(..got).unwrap_or_default());
        size = size.saturating_add(got as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_what_was_declared_with_the_modes_declared() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        fs::write(&made, "program").unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).unwrap();
        let path = |text: &str| text.parse::<ImagePath>().unwrap();
        let result = dir.path().join("result");
        let outputs = vec![
            Output::program(path("/usr/bin/thing"), made),
            Output::symlink(path("/usr/bin/alias"), "thing"),
            Output { path: path("/state"), mode: 0o700, content: Content::Directory, package: None },
            Output {
                path: path("/usr/lib/libx.so.1"),
                mode: 0o644,
                content: Content::Bytes(b"x".to_vec()),
                package: Some("libx1".to_owned()),
            },
        ];
        keep(&result, outputs).unwrap();
        let built = Built::load(Digest::of(b"key"), result).unwrap();
        assert_eq!(
            built.manifest.get(&path("/usr/bin/thing")),
            Some(&Node::file(Digest::of(b"program"), 7, 0o755))
        );
        assert_eq!(built.manifest.get(&path("/state")).unwrap().mode, 0o700);
        assert_eq!(built.packages.get(&path("/usr/lib/libx.so.1")).unwrap(), "libx1");
        assert_eq!(fs::read(built.file(&path("/usr/bin/alias"))).unwrap(), b"program");
    }

    #[test]
    fn an_output_declared_twice_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let one = Output::symlink("/a".parse().unwrap(), "b");
        assert!(keep(dir.path(), vec![one.clone(), one]).is_err());
    }
}
