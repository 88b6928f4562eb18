//! Compose: the components of a role to one root file system.
//!
//! Components that were built bring their files from the store, `pod_image` makes OCI images of
//! some, and `generated` adds what only the role as a whole knows. The result is one manifest in
//! which every node has an owner; `policy` says what may not be in it. Nothing here writes.

mod generated;
mod pod_image;
mod policy;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use image_format::manifest::{Manifest, Merged};
use image_format::oci;

use crate::build::Built;
use crate::emit::Stored;
use crate::lock::Lock;
use crate::profile::{Component, ComponentName, Profiles, Role, Source};

pub use generated::TrustedKey;
pub use services::ServicesError;

/// Who owns what no component brings.
pub const GENERATED: &str = "slipway";

/// The root file system of a role, ready to be emitted.
#[derive(Debug, Clone)]
pub struct Rootfs {
    /// The role.
    pub role: Role,
    /// Version of the image: this program's, and a digest of what is in it.
    pub version: String,
    /// The floor of the machine's clock: when the inputs were locked.
    pub built: jiff::Timestamp,
    /// Every node with its owner.
    pub tree: Merged,
    /// Contents of every file.
    pub contents: Stored,
    /// The pod images in it, by component.
    pub images: BTreeMap<ComponentName, oci::Image>,
    /// The Debian package that a path is from.
    pub packages: BTreeMap<image_format::manifest::ImagePath, String>,
}

/// What one component brings.
#[derive(Debug, Clone, Default)]
struct Part {
    manifest: Manifest,
    contents: Stored,
}

/// The components that have to be built for a role: its own and those in its pod images. `[image]`
/// components are not among them; they are made here.
///
/// # Errors
/// The role names something that is no component.
pub fn needs(role: &Role, profiles: &Profiles) -> Result<BTreeSet<ComponentName>> {
    let names = role.components.iter().chain(&role.images);
    names
        .map(|name| {
            Ok(match &component(profiles, name)?.source {
                Source::Image(image) => image.component.clone(),
                _ => name.clone(),
            })
        })
        .collect()
}

/// Composes a role.
///
/// # Errors
/// Two components disagree, a service cannot be, or a file of a profile is missing.
pub fn compose(
    role: &Role,
    profiles: &Profiles,
    lock: &Lock,
    built: &BTreeMap<ComponentName, Built>,
    trusted: &[TrustedKey],
) -> Result<Rootfs> {
    let composing = || format!("composing role {}", role.name);
    let mut tree = Merged::new();
    let mut contents = Stored::default();
    let mut packages = BTreeMap::new();
    for name in &role.components {
        let built = finished(built, name)?;
        let part = stored(built);
        packages.extend(built.packages.clone());
        tree.add(name.as_str(), &policy::apply(name, &part.manifest)?).with_context(composing)?;
        contents.add_all(part.contents);
    }
    let mut images = BTreeMap::new();
    for name in &role.images {
        let Source::Image(source) = &component(profiles, name)?.source else {
            anyhow::bail!("role {}: {name} is listed among the images and has no [image]", role.name);
        };
        let rootfs = stored(finished(built, &source.component)?);
        let (part, image) =
            pod_image::part(name, source, &rootfs).with_context(|| format!("composing pod image {name}"))?;
        tree.add(name.as_str(), &policy::apply(name, &part.manifest)?).with_context(composing)?;
        contents.add_all(part.contents);
        images.insert(name.clone(), image);
    }
    let services = services::gather(role, profiles).with_context(composing)?;
    services::check_programs(&services, tree.manifest()).with_context(composing)?;
    let built = lock_date(lock)?;
    let facts = generated::Facts { role, services: &services, trusted, built };
    let (part, version) = generated::part(&facts, tree.manifest()).with_context(composing)?;
    tree.add(GENERATED, &part.manifest).with_context(composing)?;
    contents.add_all(part.contents);
    Ok(Rootfs { role: role.clone(), version, built, tree, contents, images, packages })
}

fn component<'a>(profiles: &'a Profiles, name: &ComponentName) -> Result<&'a Component> {
    profiles.components.get(name).with_context(|| format!("there is no component {name}"))
}

fn finished<'a>(built: &'a BTreeMap<ComponentName, Built>, name: &ComponentName) -> Result<&'a Built> {
    built.get(name).with_context(|| format!("component {name} was not built"))
}

fn stored(built: &Built) -> Part {
    let mut contents = Stored::default();
    contents.add_tree(&built.manifest, &built.directory.join("files"));
    Part { manifest: built.manifest.clone(), contents }
}

/// When the newest of the lock's suites was published: the time that images carry, since no build
/// asks the clock.
///
/// # Errors
/// The lock has no suite, or one without a date.
pub fn lock_date(lock: &Lock) -> Result<jiff::Timestamp> {
    let mut newest = None;
    for (suite, locked) in &lock.suites {
        // Debian writes `UTC`, which RFC 2822 does not know.
        let text = locked.date.replace(" UTC", " +0000");
        let date = jiff::fmt::rfc2822::parse(&text)
            .with_context(|| format!("reading the date {:?} of suite {suite} in the lock", locked.date))?
            .timestamp();
        newest = newest.max(Some(date));
    }
    newest.context("the lock has no suite, so images have no date: run `slipway lock`")
}

#[cfg(test)]
mod tests;
