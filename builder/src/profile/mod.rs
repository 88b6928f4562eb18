//! Profiles: what goes into an image, as data below `profiles/`.
//!
//! `component` is one thing to build and where it comes from, `tools` a set of host programs that
//! builds run with, `role` the list of parts of an image. `Profiles::load` reads them all; errors
//! name file, line and column. What each input's digest is stands in the lock, not here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use machine_config::service::ServiceSpec;
use serde::de::DeserializeOwned;

pub mod component;
pub mod name;
pub mod role;
pub mod tools;

pub use component::{Component, Source};
pub use name::{ComponentName, Suite, ToolSetName};
pub use role::{Role, RoleFile};
pub use tools::ToolSet;

/// Everything below `profiles/`.
#[derive(Debug, Clone)]
pub struct Profiles {
    /// The repository's root: the directory that holds `profiles/` and `kernel-config/`.
    pub root: PathBuf,
    /// By name.
    pub components: BTreeMap<ComponentName, Component>,
    /// By name.
    pub tools: BTreeMap<ToolSetName, ToolSet>,
    /// Roles with their includes resolved, by name.
    pub roles: BTreeMap<String, Role>,
    /// Services by name.
    pub services: BTreeMap<String, ServiceSpec>,
}

/// A profile that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file system said no.
    #[error("reading {}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is not what it should be.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// Two files, or a file and what it names, do not fit together.
    #[error("{}: {message}", path.display())]
    Reference {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        message: String,
    },
}

impl Profiles {
    /// Reads `root/profiles`.
    ///
    /// # Errors
    /// A file is unreadable, malformed, or names something that is not there.
    pub fn load(root: &Path) -> Result<Self, ProfileError> {
        let profiles = root.join("profiles");
        let mut components = BTreeMap::new();
        for directory in listed(&profiles.join("components"), |path| path.join("component.toml").is_file())? {
            let component = Component::load(&directory)?;
            components.insert(component.name.clone(), component);
        }
        let mut tools = BTreeMap::new();
        for path in listed(&profiles.join("tools"), is_toml)? {
            let set = ToolSet::load(&path)?;
            tools.insert(set.name.clone(), set);
        }
        let mut services = BTreeMap::new();
        for path in listed(&profiles.join("services"), is_toml)? {
            let service: ServiceSpec = parse(&path, &read(&path)?)?;
            if path.file_stem().and_then(|stem| stem.to_str()) != Some(service.name.as_str()) {
                let message = format!("the service calls itself {}, its file does not", service.name);
                return Err(ProfileError::Reference { path, message });
            }
            services.insert(service.name.to_string(), service);
        }
        let mut files = BTreeMap::new();
        for path in listed(&profiles.join("roles"), is_toml)? {
            let file = RoleFile::load(&path)?;
            files.insert(file.name.clone(), file);
        }
        let roles = role::resolve(&files, &components, &services)?;
        Ok(Self { root: root.to_path_buf(), components, tools, roles, services })
    }

    /// Where the lock is.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.root.join("profiles/slipway.lock")
    }

    /// Where the keys of Debian's archive are.
    #[must_use]
    pub fn keys_directory(&self) -> PathBuf {
        self.root.join("profiles/keys")
    }

    /// Where the kernel's fragments are.
    #[must_use]
    pub fn kernel_config_directory(&self) -> PathBuf {
        self.root.join("kernel-config")
    }
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// The entries of a directory that `keep` wants, sorted; none when there is no such directory.
fn listed(directory: &Path, keep: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, ProfileError> {
    let failed = |source| ProfileError::Read { path: directory.to_path_buf(), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if keep(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a profile.
pub(crate) fn read(path: &Path) -> Result<String, ProfileError> {
    std::fs::read_to_string(path).map_err(|source| ProfileError::Read { path: path.to_path_buf(), source })
}

/// Parses a profile's text; `path` is for the message only.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ProfileError> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        at(path, text, offset, error.message().trim().to_owned())
    })
}

/// An error at a byte of a text.
pub(crate) fn at(path: &Path, text: &str, offset: usize, message: String) -> ProfileError {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&character| character != '\n').count() + 1;
    ProfileError::Parse { path: path.to_path_buf(), line, column, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Probe {
        #[expect(dead_code, reason = "only whether it parses is looked at")]
        name: String,
    }

    #[test]
    fn an_unknown_field_is_refused_at_its_line_and_column() {
        let error = parse::<Probe>(Path::new("probe.toml"), "name = \"x\"\n  nmae = 1\n").unwrap_err();
        let ProfileError::Parse { line, column, message, .. } = &error else { panic!("{error}") };
        assert_eq!((*line, *column), (2, 3), "{message}");
        assert!(message.contains("nmae"), "{message}");
    }

    #[test]
    fn the_repository_s_own_profiles_load() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let profiles = Profiles::load(&root).unwrap();
        assert!(profiles.components.contains_key("etcd"));
    }
}
