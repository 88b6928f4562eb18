//! The lock: every input of every build by digest, in `profiles/slipway.lock`.
//!
//! TOML, sorted, made by `slipway lock` and read by everything else. It names suites, pool paths
//! and digests, never a host. Each component and tool set carries a digest of what its profile
//! asked for, so a lock that is older than a profile is noticed where it is used. Go modules are pinned by
//! their own go.sum, Rust crates by Cargo.lock; the lock pins the former's text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use image_format::Digest;
use serde::{Deserialize, Serialize};

use crate::profile::{Component, ComponentName, ProfileError, Profiles, Source, Suite, ToolSet, ToolSetName};
use crate::store::KeyHasher;

/// The schema that this program writes and reads.
const SCHEMA: u32 = 1;

const HEAD: &str = "\
# Every input of every build, by digest. Made by `slipway lock`; do not edit.
# A package is named by its name, or by `name version` where the lock holds two of that name.

";

/// The lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    schema: u32,
    /// The Go toolchain that builds Go components.
    pub go: Option<LockedGo>,
    /// Suites of Debian's archive, as they were when the lock was made.
    pub suites: BTreeMap<Suite, LockedSuite>,
    /// What each tool set is made of.
    pub tools: BTreeMap<ToolSetName, LockedSet>,
    /// What each component is made of; only those that the lock has something to say on.
    pub components: BTreeMap<ComponentName, LockedSet>,
    /// Every package, by name.
    #[serde(rename = "package")]
    packages: Vec<LockedPackage>,
}

/// A suite when it was locked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSuite {
    /// Its `Date:`.
    pub date: String,
    /// The digest of its InRelease file.
    pub in_release: Digest,
    /// The fingerprints of the keys that signed it.
    pub signed_by: Vec<String>,
}

/// The Go toolchain: a module like any other, pinned by Go's own hash of its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedGo {
    /// Such as `1.26.8`.
    pub version: String,
    /// Go's `h1:` hash of the module's zip.
    pub sum: String,
}

/// A component's or a tool set's part of the lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSet {
    /// The digest of what its profile asked for.
    pub inputs: Digest,
    /// Its packages and all that they depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageId>,
}

/// A package of the lock: `name`, or `name version` where there are two of that name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackageId(String);

/// A package of Debian's archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The suite it was found in.
    pub suite: Suite,
    /// The source package, `name version`.
    pub source: String,
    /// Where it is below the mirror's address.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

/// Why a lock is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// There is none.
    #[error("there is no lock at {}: run `slipway lock`", .0.display())]
    None(PathBuf),
    /// It cannot be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The lock.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no lock.
    #[error(transparent)]
    Malformed(#[from] ProfileError),
    /// It is of another program.
    #[error("{} has schema {found}, this slipway knows {SCHEMA}: run `slipway lock`", path.display())]
    Schema {
        /// The lock.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// It was made before the profile changed.
    #[error("the lock is older than {0}: run `slipway lock`")]
    Stale(String),
    /// It names a package that it does not hold.
    #[error("the lock names the package {0:?} and does not hold it: run `slipway lock`")]
    Dangling(String),
    /// It could not be written as TOML.
    #[error("writing the lock as TOML")]
    Unwritable(#[source] toml::ser::Error),
}

/// What a component or tool set is locked to, before packages are named.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The digest of what its profile asked for.
    pub inputs: Digest,
    /// The packages of its closure.
    pub packages: BTreeSet<LockedPackage>,
}

impl Lock {
    /// Puts a lock together.
    #[must_use]
    pub fn assemble(
        go: Option<LockedGo>,
        suites: BTreeMap<Suite, LockedSuite>,
        tools: BTreeMap<ToolSetName, Resolution>,
        components: BTreeMap<ComponentName, Resolution>,
    ) -> Self {
        let packages: BTreeSet<LockedPackage> =
            tools.values().chain(components.values()).flat_map(|set| set.packages.iter().cloned()).collect();
        let packages: Vec<LockedPackage> = packages.into_iter().collect();
        let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
        for package in &packages {
            *versions.entry(&package.name).or_default() += 1;
        }
        let id = |package: &LockedPackage| match versions.get(package.name.as_str()) {
            Some(1) => PackageId(package.name.clone()),
            _ => PackageId(format!("{} {}", package.name, package.version)),
        };
        let locked = |set: Resolution| LockedSet {
            inputs: set.inputs,
            packages: set.packages.iter().map(id).collect(),
        };
        let tools = tools.into_iter().map(|(name, set)| (name, locked(set))).collect();
        let components = components.into_iter().map(|(name, set)| (name, locked(set))).collect();
        Self { schema: SCHEMA, go, suites, tools, components, packages }
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// There is none, or it is not one of ours.
    pub fn load(path: &Path) -> Result<Self, LockError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(LockError::None(path.to_owned()))
            }
            Err(source) => Err(LockError::Io { action: "reading", path: path.to_owned(), source }),
        }
    }

    /// Parses a lock; `path` is for the message.
    ///
    /// # Errors
    /// The text is no lock.
    pub fn parse(path: &Path, text: &str) -> Result<Self, LockError> {
        let lock: Self = crate::profile::parse(path, text)?;
        if lock.schema != SCHEMA {
            return Err(LockError::Schema { path: path.to_owned(), found: lock.schema });
        }
        Ok(lock)
    }

    /// Its text.
    ///
    /// # Errors
    /// None that its types allow; the TOML writer's signature has one.
    pub fn to_text(&self) -> Result<String, LockError> {
        let body = toml::to_string_pretty(self).map_err(LockError::Unwritable)?;
        Ok(format!("{HEAD}{body}"))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The file system said no.
    pub fn save(&self, path: &Path) -> Result<(), LockError> {
        let text = self.to_text()?;
        let failed = |source| LockError::Io { action: "writing", path: path.to_owned(), source };
        let directory = path.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(directory)
            .map_err(failed)?;
        std::fs::write(file.path(), text).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Every package.
    #[must_use]
    pub fn packages(&self) -> &[LockedPackage] {
        &self.packages
    }

    /// The package of that name.
    ///
    /// # Errors
    /// The lock was edited by hand.
    pub fn package(&self, id: &PackageId) -> Result<&LockedPackage, LockError> {
        let (name, version) = match id.0.split_once(' ') {
            Some((name, version)) => (name, Some(version)),
            None => (id.0.as_str(), None),
        };
        self.packages
            .iter()
            .find(|package| package.name == name && version.is_none_or(|version| package.version == version))
            .ok_or_else(|| LockError::Dangling(id.0.clone()))
    }

    /// The packages of a component, none for one that needs none.
    ///
    /// # Errors
    /// The lock is older than the component.
    pub fn component_packages(&self, component: &Component) -> Result<Vec<&LockedPackage>, LockError> {
        let Some(inputs) = component_inputs(component)? else { return Ok(Vec::new()) };
        let stale = || LockError::Stale(format!("component {}", component.name));
        let set =
            self.components.get(&component.name).filter(|set| set.inputs == inputs).ok_or_else(stale)?;
        set.packages.iter().map(|id| self.package(id)).collect()
    }

    /// The packages of a tool set.
    ///
    /// # Errors
    /// The lock is older than the tool set.
    pub fn tool_packages(&self, tools: &ToolSet) -> Result<Vec<&LockedPackage>, LockError> {
        let stale = || LockError::Stale(format!("tool set {}", tools.name));
        let set =
            self.tools.get(&tools.name).filter(|set| set.inputs == tool_inputs(tools)).ok_or_else(stale)?;
        set.packages.iter().map(|id| self.package(id)).collect()
    }

    /// Checks that the lock is as new as every component and tool set.
    ///
    /// # Errors
    /// It is not; the message names the first that is newer.
    pub fn check(&self, profiles: &Profiles) -> Result<(), LockError> {
        for component in profiles.components.values() {
            self.component_packages(component)?;
        }
        for tools in profiles.tools.values() {
            self.tool_packages(tools)?;
        }
        Ok(())
    }
}

/// The digest of what a component asks of the lock; none where it asks nothing.
///
/// # Errors
/// A Go component's go.mod or go.sum is unreadable.
pub fn component_inputs(component: &Component) -> Result<Option<Digest>, LockError> {
    let key = match &component.source {
        Source::Deb(deb) => packages_key(&deb.suite, &deb.packages),
        Source::Kernel(kernel) => KeyHasher::new("lock kernel 1")
            .field("suite", kernel.suite.as_str())
            .field("source-package", &kernel.source_package),
        Source::Go(go) => {
            let mut key = KeyHasher::new("lock go 1");
            for file in ["go.mod", "go.sum"] {
                let path = component.directory.join(&go.module).join(file);
                let text = std::fs::read(&path).map_err(|source| LockError::Io {
                    action: "reading",
                    path: path.clone(),
                    source,
                })?;
                key = key.field(file, text);
            }
            key
        }
        Source::Cargo(_) | Source::Files(_) | Source::Image(_) => return Ok(None),
    };
    Ok(Some(key.finish()))
}

/// The digest of what a tool set asks of the lock.
#[must_use]
pub fn tool_inputs(tools: &ToolSet) -> Digest {
    let key = packages_key(&tools.suite, &tools.packages);
    key.field("go-toolchain", tools.go_toolchain.as_deref().unwrap_or_default()).finish()
}

fn packages_key(suite: &Suite, packages: &[String]) -> KeyHasher {
    let mut key = KeyHasher::new("lock packages 1").field("suite", suite.as_str());
    for package in packages {
        key = key.field("package", package);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> LockedPackage {
        LockedPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            suite: Suite::default(),
            source: format!("{name} {version}"),
            path: format!("pool/main/{name}_{version}_amd64.deb"),
            size: 1,
            sha256: Digest::of(version.as_bytes()),
        }
    }

    fn tools(packages: &[&str]) -> ToolSet {
        ToolSet {
            name: "cc".parse().unwrap(),
            path: PathBuf::from("cc.toml"),
            description: String::new(),
            suite: Suite::default(),
            packages: packages.iter().map(ToString::to_string).collect(),
            links: Vec::new(),
            leave_out: Vec::new(),
            go_toolchain: None,
        }
    }

    fn lock(tools: &ToolSet, packages: impl IntoIterator<Item = LockedPackage>) -> Lock {
        let set = Resolution { inputs: tool_inputs(tools), packages: packages.into_iter().collect() };
        Lock::assemble(None, BTreeMap::new(), BTreeMap::from([(tools.name.clone(), set)]), BTreeMap::new())
    }

    #[test]
    fn a_lock_reads_back_as_it_was_written() {
        let tools = tools(&["gcc"]);
        let lock = lock(&tools, [package("gcc", "14"), package("libc6", "2.41")]);
        let text = lock.to_text().unwrap();
        let again = Lock::parse(Path::new("slipway.lock"), &text).unwrap();
        assert_eq!(again, lock);
        assert_eq!(again.to_text().unwrap(), text);
    }

    #[test]
    fn two_versions_of_one_package_are_told_apart() {
        let tools = tools(&["gcc"]);
        let lock = lock(&tools, [package("linux-libc-dev", "6.12"), package("linux-libc-dev", "7.2")]);
        let versions: Vec<_> =
            lock.tool_packages(&tools).unwrap().into_iter().map(|package| package.version.as_str()).collect();
        assert_eq!(versions, ["6.12", "7.2"]);
    }

    #[test]
    fn a_lock_older_than_its_tool_set_says_so() {
        let lock = lock(&tools(&["gcc"]), [package("gcc", "14")]);
        let error = lock.tool_packages(&tools(&["gcc", "make"])).unwrap_err();
        assert!(matches!(&error, LockError::Stale(what) if what == "tool set cc"), "{error}");
    }

    #[test]
    fn an_unknown_field_in_the_lock_is_refused() {
        let tools = tools(&["gcc"]);
        let text = lock(&tools, []).to_text().unwrap().replace("schema = 1", "schema = 1\nextra = 1");
        assert!(Lock::parse(Path::new("slipway.lock"), &text).is_err());
    }
}
