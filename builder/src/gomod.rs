//! Go: the toolchain that builds Go components, and their modules.
//!
//! Go's own command downloads both, so GOPROXY and all the rest of a user's Go configuration
//! holds. Debian's Go (a tool set, through the lock) is old but knows how to download the one that
//! builds; that one is pinned by Go's `h1:` hash. Modules are pinned by each component's go.sum.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image_format::Digest;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::lock::LockedGo;
use crate::store::{Area, Claim, Entry, KeyHasher, Store};

/// The module that every Go toolchain is a version of.
const MODULE: &str = "golang.org/toolchain";

/// Directories of a toolchain whose files are programs; a module's zip has no permission bits.
const PROGRAMS: [&str; 2] = ["bin", "pkg/tool"];

/// The module version of a toolchain.
fn module_version(version: &str) -> String {
    format!("v0.0.1-go{version}.linux-amd64")
}

/// The tree's key: Go's hash says all.
fn key(go: &LockedGo) -> Digest {
    KeyHasher::new("go toolchain 1").field("sum", &go.sum).finish()
}

/// The locked toolchain in the store: a GOROOT.
///
/// # Errors
/// It is not there; the message says to fetch.
pub fn goroot(store: &Store, go: &LockedGo) -> anyhow::Result<PathBuf> {
    let place = store.entry_path(Area::Trees, &key(go));
    ensure!(place.is_dir(), "the Go toolchain {} is not in the store: run `slipway fetch`", go.version);
    Ok(place)
}

/// Downloads a toolchain with the Go of `bootstrap` and says what it is, for the lock.
///
/// # Errors
/// It cannot be had.
pub fn resolve_toolchain(store: &Store, bootstrap: &Path, version: &str) -> anyhow::Result<LockedGo> {
    let scratch = tempfile::tempdir_in(store.root().join("tmp")).context("creating a scratch directory")?;
    let download = download(bootstrap, version, scratch.path())?;
    let go = LockedGo { version: version.to_owned(), sum: download.sum.clone() };
    if let Entry::Vacant(claim) = store.entry(Area::Trees, &key(&go), || {})? {
        install(&go, &download, claim)?;
    }
    Ok(go)
}

/// Brings the locked toolchain into the store, unless it is there; whether it had to be fetched.
///
/// # Errors
/// It cannot be had, or is not what the lock says.
pub fn fetch_toolchain(
    store: &Store,
    go: &LockedGo,
    bootstrap: impl FnOnce() -> anyhow::Result<PathBuf>,
    waiting: impl FnOnce(),
) -> anyhow::Result<bool> {
    let claim = match store.entry(Area::Trees, &key(go), waiting)? {
        Entry::Ready(_) => return Ok(false),
        Entry::Vacant(claim) => claim,
    };
    let scratch = tempfile::tempdir_in(store.root().join("tmp")).context("creating a scratch directory")?;
    let download = download(&bootstrap()?, &go.version, scratch.path())?;
    install(go, &download, claim)?;
    Ok(true)
}

/// What `go mod download -json` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Download {
    dir: PathBuf,
    sum: String,
}

/// Has Debian's Go download a toolchain. Go insists on its checksum database for toolchains, whatever
/// GOSUMDB says, so that stays as the user has it; `install` compares with the lock besides.
fn download(bootstrap: &Path, version: &str, cache: &Path) -> anyhow::Result<Download> {
    let goroot = debian_goroot(bootstrap)?;
    let go = goroot.join("bin/go");
    let module = format!("{MODULE}@{}", module_version(version));
    let output = command(&go, cache)
        .args(["mod", "download", "-json", &module])
        .env("GOROOT", &goroot)
        .current_dir(cache)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", go.display()))?;
    if !output.status.success() {
        bail!(
            "downloading the Go toolchain {version}: go says: {}{}",
            String::from_utf8_lossy(&output.stdout).trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("reading what go says about its download")
}

/// Checks a downloaded toolchain and puts it in place, made ready to run as Go itself would.
fn install(go: &LockedGo, download: &Download, claim: Claim) -> anyhow::Result<()> {
    let name = format!("{MODULE}@{}", module_version(&go.version));
    let found = dir_hash(&download.dir, &name)?;
    ensure!(
        found == go.sum,
        "the Go toolchain {}: the lock says {}, the module proxy gave {found}; try another GOPROXY, \
         or run `slipway lock` if the version in profiles/tools has changed",
        go.version,
        go.sum
    );
    for entry in fs::read_dir(&download.dir).context("listing the Go toolchain")? {
        let entry = entry.context("listing the Go toolchain")?;
        let place = claim.directory().join(entry.file_name());
        fs::rename(entry.path(), &place).with_context(|| format!("moving {}", place.display()))?;
    }
    for programs in PROGRAMS {
        for path in files(&claim.directory().join(programs))? {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("making {} executable", path.display()))?;
        }
    }
    // A module's zip cannot hold go.mod files of its own: they travel as _go.mod.
    for path in files(&claim.directory().join("src"))? {
        if path.file_name() == Some(OsStr::new("_go.mod")) {
            fs::copy(&path, path.with_file_name("go.mod"))
                .with_context(|| format!("copying {}", path.display()))?;
        }
    }
    claim.commit()?;
    Ok(())
}

/// Hashes the toolchain in the store anew.
///
/// # Errors
/// It is not what the lock says; the message names its directory.
pub fn verify_toolchain(store: &Store, go: &LockedGo) -> anyhow::Result<()> {
    let place = goroot(store, go)?;
    let found = dir_hash(&place, &format!("{MODULE}@{}", module_version(&go.version)))?;
    ensure!(
        found == go.sum,
        "the Go toolchain in {} is damaged: the lock says {}, it is {found}; remove the directory and run \
         `slipway fetch`",
        place.display(),
        go.sum
    );
    Ok(())
}

/// Downloads the modules of a component's go.mod into the store's module cache.
///
/// # Errors
/// They cannot be had, or are not what go.sum says.
pub fn fetch_modules(store: &Store, goroot: &Path, module: &Path) -> anyhow::Result<()> {
    run_in(store, goroot, module, "download")
}

/// Hashes a component's modules in the store anew.
///
/// # Errors
/// One is damaged; the message names it.
pub fn verify_modules(store: &Store, goroot: &Path, module: &Path) -> anyhow::Result<()> {
    run_in(store, goroot, module, "verify")
}

/// Runs `go mod VERB` in a module, with copies of go.mod and go.sum: it would write to the profile's own.
fn run_in(store: &Store, goroot: &Path, module: &Path, verb: &str) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir_in(store.root().join("tmp")).context("creating a scratch directory")?;
    for file in ["go.mod", "go.sum"] {
        let from = module.join(file);
        fs::copy(&from, scratch.path().join(file)).with_context(|| format!("reading {}", from.display()))?;
    }
    let output = command(&goroot.join("bin/go"), &store.go_modules())
        .args(["mod", verb, "-modfile"])
        .arg(scratch.path().join("go.mod"))
        // go.sum takes the place of the checksum database.
        .env("GOSUMDB", "off")
        .current_dir(module)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running the Go toolchain in {}", goroot.display()))?;
    if !output.status.success() {
        bail!("go mod {verb} for {}: {}", module.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = |path: PathBuf| fs::read(&path).with_context(|| format!("reading {}", path.display()));
    ensure!(
        text(scratch.path().join("go.sum"))? == text(module.join("go.sum"))?,
        "{}: go.sum lacks modules that go.mod names: run `go mod tidy` there",
        module.display()
    );
    Ok(())
}

/// A go command with the user's configuration, but for what must not depend on it.
fn command(go: &Path, cache: &Path) -> Command {
    let mut command = Command::new(go);
    command
        .env_remove("GOROOT")
        .env("GOMODCACHE", cache)
        .env("GOFLAGS", "-modcacherw")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("GO111MODULE", "on");
    command
}

/// Debian's Go: `/usr/lib/go-1.24`, with a static `bin/go` that does not know where it is.
fn debian_goroot(tree: &Path) -> anyhow::Result<PathBuf> {
    let library = tree.join("usr/lib");
    let entries = fs::read_dir(&library).with_context(|| format!("listing {}", library.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("listing {}", library.display()))?.path();
        if path.join("bin/go").is_file() {
            return Ok(path);
        }
    }
    bail!("the tool set in {} holds no go", tree.display())
}

/// Go's `h1:` hash of a directory, as golang.org/x/mod/sumdb/dirhash has it. A go.mod made from a
/// _go.mod beside it is not part of the module.
fn dir_hash(root: &Path, prefix: &str) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    for path in files(root)? {
        if path.file_name() == Some(OsStr::new("go.mod")) && path.with_file_name("_go.mod").is_file() {
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path);
        let name = format!("{prefix}/{}", name.to_str().context("a file name that is not UTF-8")?);
        let mut hasher = Sha256::new();
        let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        std::io::copy(&mut file, &mut hasher).with_context(|| format!("reading {}", path.display()))?;
        lines.push((name, Digest::from_bytes(hasher.finalize().into())));
    }
    lines.sort();
    let mut hasher = Sha256::new();
    for (name, digest) in lines {
        hasher.update(format!("{digest}  {name}\n"));
    }
    Ok(format!("h1:{}", STANDARD.encode(hasher.finalize())))
}

fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(root) {
        let entry = entry.with_context(|| format!("listing {}", root.display()))?;
        if entry.file_type().is_file() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_s_hash_is_go_s_own() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("src")).unwrap();
        fs::write(directory.path().join("VERSION"), "go1\n").unwrap();
        fs::write(directory.path().join("src/_go.mod"), "module std\n").unwrap();
        fs::write(directory.path().join("src/go.mod"), "module std\n").unwrap();
        // By hand: printf '%s  %s\n' of sha256sum's digests, names sorted, hashed again.
        let digest = |text: &str| Digest::of(text.as_bytes());
        let listing =
            format!("{}  m@v1/VERSION\n{}  m@v1/src/_go.mod\n", digest("go1\n"), digest("module std\n"));
        let expected = format!("h1:{}", STANDARD.encode(Digest::of(listing.as_bytes()).as_bytes()));
        assert_eq!(dir_hash(directory.path(), "m@v1").unwrap(), expected);
    }
}
