//! A repository with one tool set, a store, and the command line that works on them.
//!
//! Shared by `fetching` and `locking`; it holds no promise itself. The home directory, the
//! store and the mirror are the fixture's own and are gone with it, so tests run side by side
//! and never see the user's store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image_format::Digest;
use slipway::lock::{Lock, LockedPackage, Resolution, tool_inputs};
use slipway::profile::{Suite, ToolSet};
use slipway::store::Store;
use tempfile::TempDir;

use crate::mirror::Mirror;

/// The size of the package that most tests fetch: several reads, less than a second of hashing.
pub const SIZE: usize = 1 << 20;

/// The repository.
pub struct Fixture {
    directory: TempDir,
    pub mirror: Mirror,
}

impl Fixture {
    /// A repository whose lock holds one package, which the mirror has.
    pub fn with_a_locked_package() -> Self {
        let fixture = Self::empty();
        fixture.write("profiles/tools/cc.toml", "description = 'tools'\npackages = ['gcc']\n");
        fixture.write_lock(&[fixture.package()]);
        fixture.mirror.put(&fixture.package().path, &content());
        fixture
    }

    pub fn empty() -> Self {
        let fixture = Self { directory: tempfile::tempdir().unwrap(), mirror: Mirror::start() };
        std::fs::create_dir_all(fixture.root().join("profiles/components")).unwrap();
        std::fs::create_dir_all(fixture.store_path()).unwrap();
        fixture
    }

    pub fn package(&self) -> LockedPackage {
        LockedPackage {
            name: "gcc".to_owned(),
            version: "4:14.2.0-1".to_owned(),
            architecture: "amd64".to_owned(),
            suite: Suite::default(),
            source: "gcc-defaults 1.220".to_owned(),
            path: "pool/main/g/gcc.deb".to_owned(),
            size: u64::try_from(SIZE).unwrap(),
            sha256: Digest::of(&content()),
        }
    }

    pub fn write_lock(&self, packages: &[LockedPackage]) {
        let tools = ToolSet::load(&self.root().join("profiles/tools/cc.toml")).unwrap();
        let packages: BTreeSet<_> = packages.iter().cloned().collect();
        let set = Resolution { inputs: tool_inputs(&tools), packages };
        let tools = BTreeMap::from([(tools.name, set)]);
        Lock::assemble(None, BTreeMap::new(), tools, BTreeMap::new()).save(&self.lock_path()).unwrap();
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    pub fn lock_path(&self) -> PathBuf {
        self.root().join("profiles/slipway.lock")
    }

    pub fn store_path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub fn store(&self) -> Store {
        Store::open(&self.store_path()).unwrap()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The command line, with this repository, store and mirror, and nothing else of the host's.
    pub fn slipway(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SLIPWAY_ROOT", self.root())
            .env("SLIPWAY_STORE", self.store_path())
            .env("SLIPWAY_DEBIAN_MIRROR", self.mirror.url())
            .current_dir(self.directory.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.slipway(arguments).output().unwrap()
    }

    /// The unfinished download of a blob.
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.store_path().join("partial").join(digest.to_string())
    }
}

/// The package's bytes: not compressible and without repeats, so that a misplaced part shows.
pub fn content() -> Vec<u8> {
    (0..SIZE / 32).flat_map(|part| *Digest::of(&part.to_le_bytes()).as_bytes()).collect()
}

/// The output of a command that must succeed.
pub fn succeeded(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// The error of a command that must fail.
pub fn refused(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it succeeded: {text}");
    assert!(text.contains("error: "), "{text}");
    text
}

pub fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
