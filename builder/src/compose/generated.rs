//! Files that only the role as a whole can say: what the image is, whom it trusts, its services
//! and its users.
//!
//! The version has a digest of everything else in the image, so two images that differ in a byte
//! differ in their version; the time is the lock's, since nothing here asks the clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use image_format::Digest;
use image_format::manifest::{ImagePath, Manifest};
use machine_config::service::{Group, Table};
use serde::Serialize;

use super::Part;
use crate::profile::Role;

/// A public key that the image trusts to sign machine configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    key: trust::envelope::PublicKey,
    text: String,
}

impl TrustedKey {
    /// Takes the text of a `.pub` file.
    ///
    /// # Errors
    /// It is no public key.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self { key: trust::envelope::PublicKey::parse(text)?, text: format!("{}\n", text.trim_end()) })
    }
}

/// What the generated files are made of.
pub(super) struct Facts<'a> {
    pub(super) role: &'a Role,
    pub(super) services: &'a Table,
    pub(super) trusted: &'a [TrustedKey],
    pub(super) built: jiff::Timestamp,
}

/// `/usr/share/slipway/image.toml`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct ImageFile<'a> {
    role: &'a str,
    version: &'a str,
    built: String,
}

const HOME: &str = "/usr/share/slipway";

/// Nobody's number, by convention everywhere.
const NOBODY: u32 = 65534;

/// The generated files, and the image's version; `rest` is everything else in the image.
pub(super) fn part(facts: &Facts, rest: &Manifest) -> Result<(Part, String)> {
    let mut part = Part::default();
    let table = facts.services.encode().context("encoding the services' table")?;
    let node = part.contents.add_bytes(table, 0o644);
    part.manifest.insert(format!("{HOME}/services.table").parse::<ImagePath>()?, node)?;
    let mut add = |path: &str, text: String| -> Result<()> {
        let node = part.contents.add_bytes(text, 0o644);
        Ok(part.manifest.insert(path.parse::<ImagePath>()?, node)?)
    };
    // By key id: the same key given twice is one file, whatever its files were called.
    let trusted: BTreeMap<String, &String> =
        facts.trusted.iter().map(|trusted| (trusted.key.id().to_string(), &trusted.text)).collect();
    for (id, text) in trusted {
        add(&format!("{HOME}/trusted-keys/{id}.pub"), text.clone())?;
    }
    let (passwd, group) = users(facts.services);
    add("/etc/passwd", passwd)?;
    add("/etc/group", group)?;
    let version = version(rest, &part.manifest);
    let role = facts.role.name.as_str();
    let built = facts.built.to_string();
    let image = toml::to_string(&ImageFile { role, version: &version, built })?;
    let mut add = |path: &str, text: String| -> Result<()> {
        let node = part.contents.add_bytes(text, 0o644);
        Ok(part.manifest.insert(path.parse::<ImagePath>()?, node)?)
    };
    add(&format!("{HOME}/image.toml"), image)?;
    // The same for PID 1, which parses no text: it shows this.
    add(&format!("{HOME}/label"), format!("role {role}, version {version}"))?;
    add("/etc/os-release", os_release(role, &version))?;
    Ok((part, version))
}

fn version(rest: &Manifest, generated: &Manifest) -> String {
    let content = Digest::salted(rest.digest().as_bytes(), generated.digest().as_bytes()).to_string();
    format!("{}+{}", env!("CARGO_PKG_VERSION"), content.get(..8).unwrap_or_default())
}

fn os_release(role: &str, version: &str) -> String {
    format!(
        "NAME=Slipway\nID=slipway\nVERSION_ID={version}\nVARIANT_ID={role}\n\
         PRETTY_NAME=\"Slipway {version} ({role})\"\n"
    )
}

/// /etc/passwd and /etc/group: root, nobody, and each service's own user under the service's name.
fn users(services: &Table) -> (String, String) {
    let mut users = BTreeMap::from([(0, "root"), (NOBODY, "nobody")]);
    for unit in &services.units {
        if let Some(user) = unit.user {
            users.entry(user).or_insert(unit.name.as_str());
        }
    }
    let (mut passwd, mut group) = (String::new(), String::new());
    for (id, name) in &users {
        let _ = writeln!(passwd, "{name}:x:{id}:{id}::/:/usr/sbin/nologin");
        let _ = writeln!(group, "{name}:x:{id}:");
    }
    for shared in Group::ALL {
        let members = services.units.iter().filter(|unit| unit.groups.contains(shared));
        let members: Vec<&str> = members.map(|unit| unit.name.as_str()).collect();
        let _ = writeln!(group, "{}:x:{}:{}", shared.name(), shared.number(), members.join(","));
    }
    (passwd, group)
}
