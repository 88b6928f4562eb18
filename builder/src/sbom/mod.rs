//! The software bill of materials of an image: SPDX 2.3, from the lock and the built programs.
//!
//! Components, the Debian packages that files are from, the Go modules that the linker noted in
//! each program, the crates that Cargo.lock leads to. Its time is the lock's and its namespace
//! made of the image's content, so the same image has the same document.

mod crates;
mod go;
mod spdx;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use image_format::manifest::Kind;
use uuid::Uuid;

use self::spdx::{CreationInfo, Document, Package, Relationship};
use crate::build::Built;
use crate::compose::Rootfs;
use crate::lock::Lock;
use crate::profile::{Component, ComponentName, Profiles, Source};

/// The file's name among a role's artifacts.
pub const FILE: &str = "sbom.spdx.json";

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-image";

/// The document's parts as they are found.
#[derive(Debug, Default)]
struct Found {
    packages: BTreeSet<Package>,
    relationships: BTreeSet<Relationship>,
}

impl Found {
    fn add(&mut self, container: &str, package: Package) -> String {
        let id = package.id.clone();
        self.relate(container, "CONTAINS", &id);
        self.packages.insert(package);
        id
    }

    fn relate(&mut self, from: &str, kind: &'static str, to: &str) {
        self.relationships.insert(Relationship {
            spdx_element_id: from.to_owned(),
            relationship_type: kind,
            related_spdx_element: to.to_owned(),
        });
    }
}

/// The document of `rootfs` as JSON text.
///
/// # Errors
/// A built program or Cargo.lock cannot be read.
pub fn document(
    rootfs: &Rootfs,
    profiles: &Profiles,
    lock: &Lock,
    built: &BTreeMap<ComponentName, Built>,
) -> Result<String> {
    let digest = rootfs.tree.manifest().digest();
    let name = format!("slipway-{}", rootfs.role.name);
    let mut image = Package::new(IMAGE.to_owned(), &name, &rootfs.version);
    image.primary_package_purpose = Some("OPERATING-SYSTEM");
    let mut found = Found::default();
    found.relate(DOCUMENT, "DESCRIBES", IMAGE);
    found.packages.insert(image);
    for component in components(rootfs, profiles)? {
        let contents =
            built.get(&component.name).with_context(|| format!("{} was not built", component.name))?;
        add_component(&mut found, component, contents, profiles, lock)
            .with_context(|| format!("listing what component {} is made of", component.name))?;
    }
    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        document_namespace: format!("urn:uuid:{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, digest.as_bytes())),
        name: format!("{name}-{}", rootfs.version),
        creation_info: CreationInfo {
            created: rootfs.built.to_string(),
            creators: vec![format!("Tool: slipway-{}", env!("CARGO_PKG_VERSION"))],
        },
        packages: found.packages.into_iter().collect(),
        relationships: found.relationships.into_iter().collect(),
    };
    Ok(format!("{}\n", serde_json::to_string_pretty(&document).context("writing the document")?))
}

/// The role's components, with those inside its pod images instead of the images.
fn components<'a>(rootfs: &Rootfs, profiles: &'a Profiles) -> Result<Vec<&'a Component>> {
    let find = |name: &ComponentName| {
        profiles.components.get(name).with_context(|| format!("there is no component {name}"))
    };
    let mut found = Vec::new();
    for name in rootfs.role.components.iter().chain(&rootfs.role.images) {
        let component = find(name)?;
        found.push(match &component.source {
            Source::Image(image) => find(&image.component)?,
            _ => component,
        });
    }
    Ok(found)
}

fn add_component(
    found: &mut Found,
    component: &Component,
    built: &Built,
    profiles: &Profiles,
    lock: &Lock,
) -> Result<()> {
    let name = component.name.as_str();
    let version = component.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
    let mut package = Package::new(spdx::id("component", name), name, version);
    package.license_declared.clone_from(&component.license);
    match &component.source {
        Source::Deb(_) => {
            // The component is a choice of files; versions are its packages'.
            package.version_info = spdx::NO_ASSERTION.to_owned();
            let id = found.add(IMAGE, package);
            add_debian_packages(found, &id, component, built, lock)
        }
        Source::Go(_) => {
            let id = found.add(IMAGE, package);
            add_go_modules(found, &id, built)
        }
        Source::Cargo(source) => {
            let id = found.add(IMAGE, package);
            let path = profiles.root.join("Cargo.lock");
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            for entry in crates::reachable(&text, &source.package)? {
                found.add(&id, crate_package(&entry));
            }
            Ok(())
        }
        Source::Kernel(_) | Source::Files(_) | Source::Image(_) => {
            found.add(IMAGE, package);
            Ok(())
        }
    }
}

fn add_debian_packages(
    found: &mut Found,
    id: &str,
    component: &Component,
    built: &Built,
    lock: &Lock,
) -> Result<()> {
    let used: BTreeSet<&String> = built.packages.values().collect();
    for locked in lock.component_packages(component)? {
        if !used.contains(&locked.name) {
            continue;
        }
        let text = format!("{} {}", locked.name, locked.version);
        let purl = format!(
            "pkg:deb/debian/{}@{}?arch={}&distro={}",
            spdx::purl_text(&locked.name),
            spdx::purl_text(&locked.version),
            locked.architecture,
            locked.suite
        );
        let mut package = Package::new(spdx::id("deb", &text), &locked.name, &locked.version)
            .with_sha256(&locked.sha256)
            .with_purl(purl);
        package.source_info = Some(format!("built from Debian's source package {}", locked.source));
        found.add(id, package);
    }
    Ok(())
}

fn add_go_modules(found: &mut Found, id: &str, built: &Built) -> Result<()> {
    for (path, node) in built.manifest.iter() {
        if !matches!(node.kind, Kind::File { .. }) || node.mode & 0o111 == 0 {
            continue;
        }
        for module in go::modules(&built.file(path))? {
            let text = format!("{} {}", module.path, module.version);
            let purl =
                format!("pkg:golang/{}@{}", spdx::purl_text(&module.path), spdx::purl_text(&module.version));
            let mut package =
                Package::new(spdx::id("go", &text), &module.path, &module.version).with_purl(purl);
            package.source_info = (!module.sum.is_empty()).then(|| format!("Go checksum {}", module.sum));
            found.add(id, package);
        }
    }
    Ok(())
}

fn crate_package(entry: &crates::Crate) -> Package {
    let text = format!("{} {}", entry.name, entry.version);
    let package = Package::new(spdx::id("crate", &text), &entry.name, &entry.version);
    match entry.checksum.as_deref().and_then(|checksum| checksum.parse().ok()) {
        Some(checksum) if entry.source.is_some() => package.with_sha256(&checksum).with_purl(format!(
            "pkg:cargo/{}@{}",
            spdx::purl_text(&entry.name),
            spdx::purl_text(&entry.version)
        )),
        _ => package,
    }
}
