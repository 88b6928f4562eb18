//! The part of this workspace that one package needs.
//!
//! Reads manifests as TOML; cargo itself is not asked, since this runs for every `slipway build` and
//! decides what is an input. A package's sources are its directory without the packages nested in
//! it and without tests; its manifest loses what those would need. The workspace's manifest
//! names only the members that are there, so that a change to another member changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use toml::Table;

use crate::recipe::sources::{self, Sources};

/// Directories of a package that its binaries are not made from.
const NOT_SOURCES: [&str; 4] = ["tests", "benches", "examples", "target"];

/// Tables of a manifest that only those directories need.
const NOT_NEEDED: [&str; 4] = ["dev-dependencies", "test", "bench", "example"];

/// The workspace's manifests and lock.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    manifest: Table,
    /// The text of Cargo.lock.
    pub lock: String,
    members: BTreeMap<String, Member>,
}

/// One package of the workspace.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    directory: PathBuf,
    manifest: Table,
}

impl Workspace {
    /// Reads the workspace at `root`.
    ///
    /// # Errors
    /// A manifest is missing or malformed.
    pub fn load(root: &Path) -> Result<Self> {
        let manifest = read_manifest(&root.join("Cargo.toml"))?;
        let listed = manifest.get("workspace").and_then(|workspace| workspace.get("members")?.as_array());
        let mut members = BTreeMap::new();
        for directory in listed.context("reading Cargo.toml: no workspace members")? {
            let directory =
                PathBuf::from(directory.as_str().context("reading Cargo.toml: a member is no text")?);
            let path = root.join(&directory).join("Cargo.toml");
            let manifest = read_manifest(&path)?;
            let name = manifest
                .get("package")
                .and_then(|package| package.get("name")?.as_str())
                .with_context(|| format!("reading {}: no package name", path.display()))?
                .to_owned();
            members.insert(name.clone(), Member { name, directory, manifest });
        }
        let path = root.join("Cargo.lock");
        let lock = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { root: root.to_owned(), manifest, lock, members })
    }

    /// A package and all the members that it depends on, by name.
    ///
    /// # Errors
    /// There is no such package.
    pub fn closure(&self, package: &str) -> Result<Vec<&Member>> {
        let mut found = BTreeMap::new();
        let mut open = vec![package.to_owned()];
        while let Some(name) = open.pop() {
            if found.contains_key(&name) {
                continue;
            }
            let member =
                self.members.get(&name).with_context(|| format!("there is no package {name} here"))?;
            open.extend(member.dependencies().into_iter().filter(|name| self.members.contains_key(name)));
            found.insert(name, member);
        }
        Ok(found.into_values().collect())
    }

    /// Everything a build of these members reads, laid out as in the repository.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn sources(&self, members: &[&Member]) -> Result<Sources> {
        let mut all = Sources::new();
        all.insert("Cargo.toml".into(), self.trimmed(members)?.into_bytes());
        all.insert("Cargo.lock".into(), self.lock.clone().into_bytes());
        for member in members {
            let directory = self.root.join(&member.directory);
            let own = sources::read(&directory, |entry| {
                let nested = entry.file_type().is_dir() && entry.path().join("Cargo.toml").is_file();
                let unneeded =
                    entry.depth() == 1 && NOT_SOURCES.iter().any(|name| entry.file_name() == *name);
                !nested && !unneeded
            })?;
            all.extend(own.into_iter().map(|(path, text)| (member.directory.join(path), text)));
            all.insert(member.directory.join("Cargo.toml"), member.trimmed()?.into_bytes());
        }
        Ok(all)
    }

    /// The workspace's manifest with only these members and the dependencies that they inherit.
    fn trimmed(&self, members: &[&Member]) -> Result<String> {
        let mut manifest = self.manifest.clone();
        let workspace = manifest
            .get_mut("workspace")
            .and_then(toml::Value::as_table_mut)
            .context("reading Cargo.toml: no workspace")?;
        workspace.remove("default-members");
        let directories: Vec<toml::Value> =
            members.iter().map(|member| member.directory.to_string_lossy().into_owned().into()).collect();
        workspace.insert("members".to_owned(), directories.into());
        let used: BTreeSet<String> = members.iter().flat_map(|member| member.dependencies()).collect();
        if let Some(shared) = workspace.get_mut("dependencies").and_then(toml::Value::as_table_mut) {
            shared.retain(|key, value| used.contains(&package_name(key, value)));
        }
        toml::to_string(&manifest).context("writing the workspace's manifest")
    }
}

impl Member {
    /// The packages that it names as dependencies, but for its tests.
    #[must_use]
    pub fn dependencies(&self) -> BTreeSet<String> {
        let for_targets = self.manifest.get("target").and_then(toml::Value::as_table);
        let tables =
            for_targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
        std::iter::once(&self.manifest)
            .chain(tables)
            .flat_map(|table| ["dependencies", "build-dependencies"].map(|kind| table.get(kind)))
            .filter_map(|dependencies| dependencies?.as_table())
            .flatten()
            .map(|(key, value)| package_name(key, value))
            .collect()
    }

    fn trimmed(&self) -> Result<String> {
        let mut manifest = self.manifest.clone();
        for table in NOT_NEEDED {
            manifest.remove(table);
        }
        if let Some(targets) = manifest.get_mut("target").and_then(toml::Value::as_table_mut) {
            for table in targets.iter_mut().filter_map(|(_, table)| table.as_table_mut()) {
                table.remove("dev-dependencies");
            }
        }
        toml::to_string(&manifest).with_context(|| format!("writing the manifest of {}", self.name))
    }
}

/// The package behind a dependency's key, which may be another name for it.
fn package_name(key: &str, value: &toml::Value) -> String {
    value.get("package").and_then(toml::Value::as_str).unwrap_or(key).to_owned()
}

fn read_manifest(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    text.parse().with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn workspace() -> (tempfile::TempDir, Workspace) {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "Cargo.toml",
            "[workspace]\nmembers = ['init', 'init/config', 'other']\ndefault-members = ['other']\n\
             [workspace.dependencies]\nmachine-config = { path = 'init/config' }\nnix = '0.31'\nother = { path = 'other' }\n\
             [profile.image]\ninherits = 'release'\n",
        );
        write("Cargo.lock", "version = 4\n");
        write(
            "init/Cargo.toml",
            "[package]\nname = 'init'\n[dependencies]\nmachine-config.workspace = true\n\
             [dev-dependencies]\nother.workspace = true\n[[bench]]\nname = 'b'\n",
        );
        write("init/src/main.rs", "fn main() {}");
        write("init/tests/boot.rs", "");
        write(
            "init/config/Cargo.toml",
            "[package]\nname = 'machine-config'\n[dependencies]\nx = { package = 'nix', version = '0.31' }\n",
        );
        write("init/config/src/lib.rs", "");
        write("init/pause/Cargo.toml", "[package]\nname = 'pause'\n");
        write("init/pause/src/main.rs", "");
        write("other/Cargo.toml", "[package]\nname = 'other'\n");
        let workspace = Workspace::load(dir.path()).unwrap();
        (dir, workspace)
    }

    #[test]
    fn a_package_brings_the_members_that_it_depends_on_and_no_other() {
        let (_dir, workspace) = workspace();
        let names: Vec<&str> =
            workspace.closure("init").unwrap().iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["init", "machine-config"]);
        assert!(workspace.closure("none").is_err());
    }

    #[test]
    fn sources_leave_out_tests_and_nested_packages() {
        let (_dir, workspace) = workspace();
        let sources = workspace.sources(&workspace.closure("init").unwrap()).unwrap();
        let paths: Vec<&str> = sources.keys().map(|path| path.to_str().unwrap()).collect();
        let all = [
            "Cargo.lock",
            "Cargo.toml",
            "init/Cargo.toml",
            "init/config/Cargo.toml",
            "init/config/src/lib.rs",
            "init/src/main.rs",
        ];
        assert_eq!(paths, all);
    }

    #[test]
    fn manifests_lose_what_is_not_there() {
        let (_dir, workspace) = workspace();
        let sources = workspace.sources(&workspace.closure("init").unwrap()).unwrap();
        let manifest = |path: &str| -> Table {
            std::str::from_utf8(&sources[Path::new(path)]).unwrap().parse().unwrap()
        };
        let root = manifest("Cargo.toml");
        assert_eq!(root["workspace"]["members"].as_array().unwrap().len(), 2);
        let shared: Vec<&String> = root["workspace"]["dependencies"].as_table().unwrap().keys().collect();
        assert_eq!(shared, ["machine-config", "nix"]);
        assert!(root["profile"].get("image").is_some());
        let init = manifest("init/Cargo.toml");
        assert!(init.get("dev-dependencies").is_none() && init.get("bench").is_none());
    }

    #[test]
    fn a_renamed_dependency_counts_by_its_package() {
        let (_dir, workspace) = workspace();
        assert_eq!(workspace.members["machine-config"].dependencies(), ["nix".to_owned()].into());
    }
}
