//! `[deb]`: chosen files of Debian packages, each with what it needs to run.
//!
//! The locked closure is unpacked and the profile's `include` taken from it; [`closure`] adds the
//! dynamic loader and shared libraries that the included programs name ([`elf`]), and nothing
//! else of the packages. No maintainer script runs, nothing is executed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::image_path;
use crate::build::Workshop;
use crate::build::inputs::Inputs;
use crate::build::output::{Content, Output};
use crate::profile::component::DebSource;
use crate::profile::{Component, Source};

pub mod closure;
pub mod elf;

/// What no image needs of a package; not unpacked.
const LEFT_OUT: [&str; 5] =
    ["/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/locale", "/usr/share/lintian"];

pub(super) fn inputs(workshop: &Workshop, component: &Component, source: &DebSource) -> Result<Inputs> {
    let mut inputs = Inputs::new("deb 1");
    inputs.add("component.toml", super::described(&Source::Deb(source.clone()))?);
    for package in workshop.lock.component_packages(component)? {
        inputs.add_digest(format!("package {}", package.name), package.sha256);
    }
    Ok(inputs)
}

pub(super) fn build(workshop: &Workshop, component: &Component, source: &DebSource) -> Result<Vec<Output>> {
    let packages = workshop.lock.component_packages(component)?;
    let left_out = LEFT_OUT.map(PathBuf::from);
    let name = component.name.as_str();
    let tree =
        crate::deb::unpack_packages(&workshop.store, name, &packages, &[], &left_out, &workshop.progress)?;
    let mut owners = BTreeMap::new();
    for package in packages {
        let blob = workshop.store.blob(&package.name, &package.sha256)?;
        for path in paths(&blob)? {
            owners.insert(path, package.name.clone());
        }
    }
    let chosen = closure::of(&tree, &source.include)?;
    chosen.into_iter().map(|path| output(&tree, &path, owners.get(&path).cloned())).collect()
}

/// Every path that a package holds.
fn paths(package: &Path) -> Result<Vec<PathBuf>> {
    let seen = RefCell::new(Vec::new());
    crate::deb::read_files(package, |path| {
        seen.borrow_mut().push(path.to_owned());
        false
    })?;
    Ok(seen.into_inner())
}

fn output(tree: &Path, path: &Path, package: Option<String>) -> Result<Output> {
    let at = tree.join(path.strip_prefix("/").unwrap_or(path));
    let reading = || format!("reading {}", at.display());
    let found = at.symlink_metadata().with_context(reading)?;
    let bits = u16::try_from(found.permissions().mode() & 0o777).with_context(reading)?;
    let (content, mode) = if found.is_symlink() {
        let target = fs::read_link(&at).with_context(reading)?;
        let target = target.to_str().with_context(|| format!("{} says no UTF-8", at.display()))?;
        (Content::Symlink(target.to_owned()), 0o777)
    } else if found.is_dir() {
        (Content::Directory, bits)
    } else {
        (Content::Copied(at), bits)
    };
    Ok(Output { path: image_path(path)?, mode, content, package })
}
