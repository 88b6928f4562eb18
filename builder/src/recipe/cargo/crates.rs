//! The crates that Cargo.lock pins for some members: found, verified, and laid out for cargo.
//!
//! Cargo fetches them, by its own configuration and into its own cache; we take each file from there
//! into the store after its digest is what the lock says. A build sees a directory of exactly
//! these, under a path that does not tell which registry they came from, so nothing else
//! can be resolved and no host's path is compiled in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use image_format::Digest;
use serde::Deserialize;

use super::workspace::Member;
use crate::build::Workshop;
use crate::store::{Area, Entry, KeyHasher, Store};

/// A crate of a registry, as Cargo.lock pins it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its archive.
    pub checksum: Digest,
}

#[derive(Deserialize)]
struct LockFile {
    #[serde(default)]
    package: Vec<LockEntry>,
}

#[derive(Deserialize)]
struct LockEntry {
    name: String,
    version: String,
    checksum: Option<Digest>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl LockedCrate {
    /// `name-version`, as its archive and its directory are called.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// The crates that `members` depend on, for every platform: cargo resolves for all of them.
///
/// # Errors
/// The lock is malformed or does not know a dependency.
pub fn closure(lock: &str, members: &[&Member]) -> Result<Vec<LockedCrate>> {
    let lock: LockFile = toml::from_str(lock).context("reading Cargo.lock")?;
    let mut by_name: BTreeMap<&str, Vec<&LockEntry>> = BTreeMap::new();
    for entry in &lock.package {
        by_name.entry(&entry.name).or_default().push(entry);
    }
    let named = |text: &str| -> Result<&LockEntry> {
        let mut words = text.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let entries = by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let found = entries.iter().find(|entry| version.is_none_or(|version| entry.version == version));
        found.copied().with_context(|| format!("Cargo.lock does not hold {text}: run `cargo build` once"))
    };
    let mut open = Vec::new();
    for member in members {
        let wanted = member.dependencies();
        // A member's entry also lists what only its tests need.
        open.extend(
            named(&member.name)?
                .dependencies
                .iter()
                .filter(|text| wanted.contains(text.split(' ').next().unwrap_or_default())),
        );
    }
    let mut seen = BTreeSet::new();
    let mut crates = BTreeSet::new();
    while let Some(text) = open.pop() {
        if !seen.insert(text) {
            continue;
        }
        let entry = named(text)?;
        // Without a checksum it is a member, whose own entry was looked at above.
        let Some(checksum) = entry.checksum else { continue };
        crates.insert(LockedCrate { name: entry.name.clone(), version: entry.version.clone(), checksum });
        open.extend(&entry.dependencies);
    }
    Ok(crates.into_iter().collect())
}

/// A key of all these crates.
#[must_use]
pub fn key(crates: &[LockedCrate]) -> Digest {
    let key = KeyHasher::new("crates 1");
    crates.iter().fold(key, |key, locked| key.field(&locked.label(), locked.checksum.as_bytes())).finish()
}

/// Whom to ask for crates that neither the store nor cargo's cache has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Cargo, and so the network.
    Cargo,
    /// Nobody.
    Nobody,
}

/// Brings all these crates into the store, from cargo's cache below `cargo_home`; `root` is the
/// workspace's. Whether anything had to be brought.
///
/// # Errors
/// A crate is not to be had, or is not what the lock says.
pub fn fetch(
    store: &Store,
    cargo_home: &Path,
    root: &Path,
    crates: &[LockedCrate],
    ask: Ask,
) -> Result<bool> {
    let absent: Vec<&LockedCrate> =
        crates.iter().filter(|locked| !store.has_blob(&locked.checksum)).collect();
    let mut missing = take(store, cargo_home, &absent)?;
    if !missing.is_empty() && ask == Ask::Cargo {
        ask_cargo(root)?;
        missing = take(store, cargo_home, &missing)?;
    }
    if let Some(first) = missing.first() {
        let more = missing.len().saturating_sub(1);
        bail!("crate {} (and {more} more) is not in the store: run `slipway fetch`", first.label());
    }
    Ok(!absent.is_empty())
}

/// Takes what cargo's cache has; the rest is returned.
fn take<'a>(store: &Store, cargo_home: &Path, crates: &[&'a LockedCrate]) -> Result<Vec<&'a LockedCrate>> {
    let mut missing = Vec::new();
    for locked in crates {
        match cached(cargo_home, locked)? {
            Some(bytes) => {
                store.keep(&bytes)?;
            }
            None => missing.push(*locked),
        }
    }
    Ok(missing)
}

/// A crate's archive in cargo's cache, if it is there and what the lock says.
fn cached(cargo_home: &Path, locked: &LockedCrate) -> Result<Option<Vec<u8>>> {
    let cache = cargo_home.join("registry/cache");
    let registries = match fs::read_dir(&cache) {
        Ok(registries) => registries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("listing {}", cache.display())),
    };
    for registry in registries {
        let registry = registry.with_context(|| format!("listing {}", cache.display()))?;
        let path = registry.path().join(format!("{}.crate", locked.label()));
        if let Ok(bytes) = fs::read(&path) {
            let found = Digest::of(&bytes);
            if found == locked.checksum {
                return Ok(Some(bytes));
            }
            tracing::warn!(path = %path.display(), %found, expected = %locked.checksum, "leaving a damaged crate alone");
        }
    }
    Ok(None)
}

/// Every platform's crates: cargo resolves for all of them, so a build must find them all.
fn ask_cargo(root: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["fetch", "--locked"])
        .current_dir(root)
        .output()
        .context("running cargo fetch")?;
    if !output.status.success() {
        bail!("cargo fetch --locked: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A directory with all these crates as cargo's directory source wants them.
///
/// # Errors
/// A crate is not to be had or cannot be unpacked.
pub(super) fn unpack(workshop: &Workshop, crates: &[LockedCrate]) -> Result<PathBuf> {
    let claim = match workshop.store.entry(Area::Trees, &key(crates), || ())? {
        Entry::Ready(path) => return Ok(path),
        Entry::Vacant(claim) => claim,
    };
    let (options, root) = (&workshop.options, &workshop.profiles.root);
    let ask = if options.offline { Ask::Nobody } else { Ask::Cargo };
    fetch(&workshop.store, &options.cargo_home, root, crates, ask)?;
    for locked in crates {
        let blob = workshop.store.blob(&locked.label(), &locked.checksum)?;
        unpack_one(&blob, claim.directory(), locked)
            .with_context(|| format!("unpacking the crate {}", locked.label()))?;
    }
    Ok(claim.commit()?)
}

fn unpack_one(blob: &Path, into: &Path, locked: &LockedCrate) -> Result<()> {
    let archive = fs::File::open(blob).with_context(|| format!("opening {}", blob.display()))?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    archive.unpack(into)?;
    let directory = into.join(locked.label());
    if !directory.is_dir() {
        bail!("its archive does not hold {}", locked.label());
    }
    // No digests of single files: the archive as a whole was verified.
    let sums = format!("{{\"files\":{{}},\"package\":\"{}\"}}", locked.checksum);
    fs::write(directory.join(".cargo-checksum.json"), sums).context("writing its checksum")
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Workspace;
    use super::*;

    const LOCK: &str = r#"
        version = 4
        [[package]]
        name = "init"
        version = "0.1.0"
        dependencies = ["nix 0.31.0", "machine-config", "proptest"]
        [[package]]
        name = "machine-config"
        version = "0.1.0"
        dependencies = ["serde"]
        [[package]]
        name = "nix"
        version = "0.30.0"
        source = "registry+x"
        checksum = "0000000000000000000000000000000000000000000000000000000000000030"
        [[package]]
        name = "nix"
        version = "0.31.0"
        source = "registry+x"
        checksum = "0000000000000000000000000000000000000000000000000000000000000031"
        dependencies = ["libc"]
        [[package]]
        name = "libc"
        version = "0.2.0"
        source = "registry+x"
        checksum = "0000000000000000000000000000000000000000000000000000000000000001"
        [[package]]
        name = "serde"
        version = "1.0.0"
        source = "registry+x"
        checksum = "0000000000000000000000000000000000000000000000000000000000000002"
        [[package]]
        name = "proptest"
        version = "1.0.0"
        source = "registry+x"
        checksum = "0000000000000000000000000000000000000000000000000000000000000003"
    "#;

    fn workspace() -> (tempfile::TempDir, Workspace) {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), text).unwrap();
        };
        write("Cargo.toml", "[workspace]\nmembers = ['a', 'b']\n");
        write("Cargo.lock", LOCK);
        write(
            "a/Cargo.toml",
            "[package]\nname = 'init'\n[dependencies]\nnix = '0.31'\nmachine-config = { path = '../b' }\n[dev-dependencies]\nproptest = '1'\n",
        );
        write("b/Cargo.toml", "[package]\nname = 'machine-config'\n[dependencies]\nserde = '1'\n");
        let workspace = Workspace::load(dir.path()).unwrap();
        (dir, workspace)
    }

    #[test]
    fn a_member_brings_its_locked_crates_but_not_those_of_its_tests() {
        let (_dir, workspace) = workspace();
        let members = workspace.closure("init").unwrap();
        let labels: Vec<String> =
            closure(&workspace.lock, &members).unwrap().iter().map(LockedCrate::label).collect();
        assert_eq!(labels, ["libc-0.2.0", "nix-0.31.0", "serde-1.0.0"]);
    }

    #[test]
    fn a_damaged_crate_in_the_cache_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("registry/cache/somewhere");
        fs::create_dir_all(&cache).unwrap();
        fs::write(cache.join("x-1.crate"), "damaged").unwrap();
        let checksum = Digest::of(b"whole");
        let locked = LockedCrate { name: "x".to_owned(), version: "1".to_owned(), checksum };
        assert_eq!(cached(dir.path(), &locked).unwrap(), None);
        fs::write(cache.join("x-1.crate"), "whole").unwrap();
        assert_eq!(cached(dir.path(), &locked).unwrap().as_deref(), Some(&b"whole"[..]));
    }

    #[test]
    fn the_repository_s_own_lock_knows_the_packages_of_init() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let workspace = Workspace::load(&root).unwrap();
        let members = workspace.closure("init").unwrap();
        let crates = closure(&workspace.lock, &members).unwrap();
        assert!(crates.iter().any(|locked| locked.name == "nix"));
        assert!(crates.iter().all(|locked| locked.name != "proptest"), "a dependency of tests only");
    }
}
