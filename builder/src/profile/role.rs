//! Roles: which components and services an image is made of.
//!
//! `profiles/roles/NAME.toml` is a `RoleFile`; one that is the name of a machine's role is built,
//! any other (`base`) is only for `include`. `resolve` puts the includes in front, in order,
//! and checks that everything named exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use machine_config::service::ServiceSpec;
use serde::Deserialize;

use super::{Component, ComponentName, ProfileError, parse, read};

/// A role's file as written.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleFile {
    /// The name of its file.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    body: RawRole,
}

/// A role with its includes resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// One line for people.
    pub description: String,
    /// What the root file system is made of, in order.
    pub components: Vec<ComponentName>,
    /// The services on the machine: names of `profiles/services` files.
    pub services: Vec<String>,
    /// Pod images on the machine: components with an `[image]` table.
    pub images: Vec<ComponentName>,
    /// The most that its slot image may hold, in MiB.
    pub budget_mib: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRole {
    description: String,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    components: Vec<ComponentName>,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    images: Vec<ComponentName>,
    budget_mib: Option<u64>,
}

impl RoleFile {
    /// Reads a role's file.
    ///
    /// # Errors
    /// It cannot be read or parsed.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let body: RawRole = parse(path, &read(path)?)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, path: path.to_path_buf(), body })
    }

    fn refuse(&self, message: String) -> ProfileError {
        ProfileError::Reference { path: self.path.clone(), message }
    }
}

/// Every role that can be built, with its includes.
pub(super) fn resolve(
    files: &BTreeMap<String, RoleFile>,
    components: &BTreeMap<ComponentName, Component>,
    services: &BTreeMap<String, ServiceSpec>,
) -> Result<BTreeMap<String, Role>, ProfileError> {
    let mut roles = BTreeMap::new();
    for file in files.values() {
        // A file without a budget is a part of roles, such as `base`.
        let Some(budget_mib) = file.body.budget_mib else { continue };
        let mut role = Role {
            name: file.name.clone(),
            path: file.path.clone(),
            description: file.body.description.clone(),
            components: Vec::new(),
            services: Vec::new(),
            images: Vec::new(),
            budget_mib,
        };
        gather(file, files, &mut Vec::new(), &mut role)?;
        for name in role.components.iter().chain(&role.images) {
            if !components.contains_key(name) {
                return Err(file.refuse(format!("there is no component {name} in profiles/components")));
            }
        }
        for name in &role.services {
            if !services.contains_key(name) {
                return Err(file.refuse(format!("there is no service {name} in profiles/services")));
            }
        }
        roles.insert(role.name.clone(), role);
    }
    Ok(roles)
}

/// Adds what a file and its includes name, includes first, nothing twice.
fn gather(
    file: &RoleFile,
    files: &BTreeMap<String, RoleFile>,
    path: &mut Vec<String>,
    role: &mut Role,
) -> Result<(), ProfileError> {
    if path.contains(&file.name) {
        return Err(file.refuse(format!("it includes itself by way of {}", path.join(", "))));
    }
    path.push(file.name.clone());
    for name in &file.body.include {
        let included = files
            .get(name)
            .ok_or_else(|| file.refuse(format!("it includes {name}, which is not in profiles/roles")))?;
        gather(included, files, path, role)?;
    }
    path.pop();
    add(&mut role.components, &file.body.components);
    add(&mut role.services, &file.body.services);
    add(&mut role.images, &file.body.images);
    Ok(())
}

fn add<T: Clone + PartialEq>(to: &mut Vec<T>, from: &[T]) {
    for item in from {
        if !to.contains(item) {
            to.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (String, RoleFile) {
        let path = PathBuf::from(format!("{name}.toml"));
        let body = parse(&path, text).unwrap();
        (name.to_owned(), RoleFile { name: name.to_owned(), path, body })
    }

    #[test]
    fn a_file_without_a_budget_is_a_part_and_not_a_role() {
        let files = BTreeMap::from([
            file("base", "description = 'all'"),
            file("lb", "description = 'lb'\ninclude = ['base']\nbudget-mib = 30"),
        ]);
        let roles = resolve(&files, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        assert_eq!(roles.keys().collect::<Vec<_>>(), ["lb"]);
    }

    #[test]
    fn a_circle_of_includes_is_refused() {
        let files = BTreeMap::from([
            file("a", "description = ''\ninclude = ['b']\nbudget-mib = 1"),
            file("b", "description = ''\ninclude = ['a']"),
        ]);
        assert!(resolve(&files, &BTreeMap::new(), &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_role_that_names_an_unknown_component_is_refused() {
        let files = BTreeMap::from([file("a", "description = ''\ncomponents = ['nothing']\nbudget-mib = 1")]);
        assert!(resolve(&files, &BTreeMap::new(), &BTreeMap::new()).is_err());
    }
}
