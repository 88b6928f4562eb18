//! The second half of `slipway build`: from built components to images in the output directory.
//!
//! Per role: compose, bill of materials, emit (from the store when nothing changed), publish.
//! Kernels go beside the roles, one set for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use crate::build::{Built, Workshop};
use crate::cluster::keys;
use crate::cmd::Context;
use crate::compose::{self, TrustedKey};
use crate::emit::{self, Emitted};
use crate::profile::{ComponentName, Profiles, Role, Source};
use crate::progress::{Amount, Outcome};
use crate::sbom;

/// The roles of these names.
///
/// # Errors
/// There is no such role.
pub(super) fn named<'a>(profiles: &'a Profiles, names: &[String]) -> anyhow::Result<Vec<&'a Role>> {
    names
        .iter()
        .map(|name| {
            let known = || profiles.roles.keys().cloned().collect::<Vec<_>>().join(", ");
            profiles
                .roles
                .get(name)
                .with_context(|| format!("there is no role {name}: the roles are {}", known()))
        })
        .collect()
}

/// Every component that these roles are made of.
///
/// # Errors
/// A role names an image that is none.
pub(super) fn components(
    profiles: &Profiles,
    roles: &[&Role],
    kernels: bool,
) -> anyhow::Result<BTreeSet<ComponentName>> {
    let mut names = BTreeSet::new();
    for role in roles {
        names.extend(compose::needs(role, profiles)?);
    }
    if kernels {
        let kernels = profiles.components.values().filter(|c| matches!(c.source, Source::Kernel(_)));
        names.extend(kernels.map(|component| component.name.clone()));
    }
    Ok(names)
}

/// The public keys that images will trust: the files named, or those of the key directory.
///
/// # Errors
/// A file is no public key, or there is none at all.
pub(super) fn trusted(files: &[PathBuf]) -> anyhow::Result<Vec<TrustedKey>> {
    let files = if files.is_empty() { default_keys()? } else { files.to_vec() };
    files
        .iter()
        .map(|file| {
            let reading = || format!("reading the public key {}", file.display());
            let text = std::fs::read_to_string(file).with_context(reading)?;
            TrustedKey::parse(&text).with_context(reading)
        })
        .collect()
}

fn default_keys() -> anyhow::Result<Vec<PathBuf>> {
    let directory = keys::default_directory()?;
    let mut found = Vec::new();
    if let Ok(entries) = std::fs::read_dir(&directory) {
        for entry in entries {
            let path = entry.with_context(|| format!("listing {}", directory.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "pub") {
                found.push(path);
            }
        }
    }
    found.sort();
    ensure!(
        !found.is_empty(),
        "an image needs a key to trust, and {} holds none: make one with `slipway keys new`, or name one with --trust-key FILE.pub",
        directory.display()
    );
    Ok(found)
}

/// Makes the images of `roles` in `out`.
///
/// # Errors
/// Components disagree, a budget is exceeded, or a file cannot be written.
pub(super) fn make(
    workshop: &Workshop,
    roles: &[&Role],
    built: &BTreeMap<ComponentName, Built>,
    trusted: &[TrustedKey],
    out: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    for role in roles {
        let emitted = image(workshop, role, built, trusted)?;
        let to = out.join(&role.name);
        emit::publish(&emitted.directory, &emit::FILES, &to)?;
        report(&emitted, &to, context)?;
    }
    Ok(())
}

fn image(
    workshop: &Workshop,
    role: &Role,
    built: &BTreeMap<ComponentName, Built>,
    trusted: &[TrustedKey],
) -> anyhow::Result<Emitted> {
    let Workshop { profiles, lock, store, progress, .. } = workshop;
    let task = progress.task("image", &role.name, Amount::Unknown);
    let rootfs = compose::compose(role, profiles, lock, built, trusted)?;
    let bill = sbom::document(&rootfs, profiles, lock, built)?;
    let emitted = emit::role(store, &rootfs, &bill, &|text| task.message(text))?;
    task.finish(if emitted.from_store {
        Outcome::FromStore
    } else {
        Outcome::Done(format!("version {}", emitted.artifacts.version))
    });
    Ok(emitted)
}

fn report(emitted: &Emitted, to: &Path, context: &Context) -> anyhow::Result<()> {
    if context.json {
        let artifacts = &emitted.artifacts;
        println!(
            "{}",
            json!({
                "event": "image", "role": artifacts.role, "version": artifacts.version,
                "root-hash": artifacts.root_hash, "directory": to, "sizes": emitted.sizes,
                "from-store": emitted.from_store,
            })
        );
        return Ok(());
    }
    if emitted.from_store && context.verbose == 0 {
        println!("{}: version {}, as before", to.display(), emitted.artifacts.version);
    } else {
        println!("{}: version {}\n{}\n", to.display(), emitted.artifacts.version, emitted.sizes.table());
    }
    Ok(())
}

/// Puts the kernels into `out/kernel`.
///
/// # Errors
/// A file cannot be written.
pub(super) fn kernels(
    profiles: &Profiles,
    built: &BTreeMap<ComponentName, Built>,
    out: &Path,
) -> anyhow::Result<()> {
    for (name, result) in built {
        let Some(component) = profiles.components.get(name) else { bail!("there is no component {name}") };
        if !matches!(component.source, Source::Kernel(_)) {
            continue;
        }
        let names: Vec<&str> = result
            .manifest
            .iter()
            .filter(|(_, node)| !node.is_directory())
            .map(|(path, _)| path.relative())
            .collect();
        for name in names {
            let from = result.directory.join("files");
            let to = out.join("kernel").join(Path::new(name).file_name().unwrap_or_default());
            emit::publish_file(&from.join(name), &to)?;
        }
    }
    Ok(())
}
