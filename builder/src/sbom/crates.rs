//! The crates that a program of this repository may be made of, from Cargo.lock.
//!
//! Cargo.lock does not tell dependencies of tests from those of programs, so this is an upper
//! bound: everything reachable from the program's package.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// A crate out of Cargo.lock; ours have no checksum.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) source: Option<String>,
    pub(super) checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CargoLock {
    #[expect(dead_code, reason = "accepted so that everything else can be refused")]
    version: u32,
    package: Vec<Crate>,
}

/// What is reachable from the workspace's package `package`, and that one first.
///
/// # Errors
/// `text` is no Cargo.lock, or does not have the package.
pub(super) fn reachable(text: &str, package: &str) -> Result<Vec<Crate>> {
    let lock: CargoLock = toml::from_str(text).context("parsing Cargo.lock")?;
    let mut by_name: BTreeMap<&str, Vec<&Crate>> = BTreeMap::new();
    for entry in &lock.package {
        by_name.entry(&entry.name).or_default().push(entry);
    }
    let find = |dependency: &str| {
        // `name`, `name version` or `name version (source)`, as much as tells them apart.
        let mut words = dependency.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let candidates = by_name.get(name)?;
        candidates.iter().find(|entry| version.is_none_or(|version| entry.version == version)).copied()
    };
    let root = find(package).with_context(|| format!("Cargo.lock has no package {package}"))?;
    let mut found = BTreeSet::new();
    let mut todo = vec![root];
    while let Some(entry) = todo.pop() {
        if found.insert(entry) {
            todo.extend(entry.dependencies.iter().filter_map(|dependency| find(dependency)));
        }
    }
    found.remove(root);
    Ok(std::iter::once(root).chain(found).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 4
[[package]]
name = "init"
version = "0.1.0"
dependencies = ["nix 0.31.3", "serde"]
[[package]]
name = "nix"
version = "0.30.0"
source = "registry"
checksum = "00"
[[package]]
name = "nix"
version = "0.31.3"
source = "registry"
checksum = "11"
dependencies = ["serde"]
[[package]]
name = "serde"
version = "1.0.0"
source = "registry"
checksum = "22"
[[package]]
name = "clap"
version = "4.0.0"
source = "registry"
checksum = "33"
"#;

    #[test]
    fn only_what_the_program_reaches_is_listed_in_the_version_that_it_reaches() {
        let found = reachable(LOCK, "init").unwrap();
        let names: Vec<String> = found.iter().map(|c| format!("{} {}", c.name, c.version)).collect();
        assert_eq!(names, ["init 0.1.0", "nix 0.31.3", "serde 1.0.0"]);
    }

    #[test]
    fn a_package_that_the_lock_does_not_have_is_named() {
        assert!(reachable(LOCK, "ghost").unwrap_err().to_string().contains("ghost"));
    }

    #[test]
    fn this_repository_s_own_lock_is_understood() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
        let found = reachable(&std::fs::read_to_string(path).unwrap(), "init").unwrap();
        assert!(found.iter().any(|entry| entry.name == "serde"));
    }
}
