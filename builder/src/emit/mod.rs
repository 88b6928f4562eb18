//! Emit: a composed root file system to the artifacts that boot.
//!
//! Each artifact has its file: `packs` and `slot` the root file system with its verity tree,
//! `initramfs` stage 1, `artifacts` the index that labs and people read. `role` makes them all
//! once per key in the store, `publish` copies them to where the user wants them.

mod artifacts;
mod contents;
mod initramfs;
pub mod packs;
mod pool;
mod publish;
mod slot;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image_format::Digest;
use image_format::erofs;
use image_format::manifest::ImagePath;

pub use artifacts::{Artifacts, Kernels};
pub use contents::Stored;
pub use initramfs::write as write_initramfs;
pub use packs::Packs;
pub use publish::{publish, publish_file};
pub use slot::{Slot, write as write_slot};

use crate::compose::Rootfs;
use crate::sbom;
use crate::size::{self, Measured, Sizes};
use crate::store::{Area, Entry, KeyHasher, Store};

/// The initramfs' init, which is the machine's too.
const INIT: &str = "/usr/sbin/init";

/// The manifest of the root file system, among a role's artifacts.
pub const MANIFEST: &str = "manifest.json";

/// The index of a role's artifacts.
pub const INDEX: &str = artifacts::FILE;

/// A role's artifacts; the index is last.
pub const FILES: [&str; 6] = ["slot.img", initramfs::FILE, MANIFEST, sbom::FILE, size::FILE, artifacts::FILE];

/// A role's artifacts in the store.
#[derive(Debug)]
pub struct Emitted {
    /// Where [`FILES`] are.
    pub directory: PathBuf,
    /// Their index.
    pub artifacts: Artifacts,
    /// How large everything is.
    pub sizes: Sizes,
    /// Whether the store had them already.
    pub from_store: bool,
}

/// Makes a role's artifacts, or finds them in the store.
///
/// # Errors
/// A tool fails, the slot exceeds its budget, or the store cannot be written.
pub fn role(store: &Store, rootfs: &Rootfs, bill: &str, progress: &dyn Fn(&str)) -> Result<Emitted> {
    let emitting = || format!("making the image of role {}", rootfs.role.name);
    let waiting = || progress("waiting for another slipway that makes it");
    let entry = store.entry(Area::Images, &key(rootfs, bill), waiting)?;
    let (directory, from_store) = match entry {
        Entry::Ready(directory) => (directory, true),
        Entry::Vacant(claim) => {
            write(store, rootfs, bill, claim.directory(), progress).with_context(emitting)?;
            (claim.commit()?, false)
        }
    };
    let read = |file: &str| {
        let path = directory.join(file);
        std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let artifacts = Artifacts::from_json(&read(artifacts::FILE)?).with_context(emitting)?;
    let sizes: Sizes = serde_json::from_slice(&read(size::FILE)?).with_context(emitting)?;
    sizes.check()?;
    Ok(Emitted { directory, artifacts, sizes, from_store })
}

/// Everything that decides the bytes of a role's artifacts.
fn key(rootfs: &Rootfs, bill: &str) -> Digest {
    let owners: String = rootfs
        .tree
        .iter()
        .map(|(path, _, owner)| format!("{path} {}\n", owner.unwrap_or_default()))
        .collect();
    KeyHasher::new("image 2")
        .field("role", &rootfs.role.name)
        .field("budget", rootfs.role.budget_mib.to_string())
        .field("manifest", rootfs.tree.manifest().to_json())
        .field("owners", owners)
        .field("bill", bill)
        .field("slot", slot::RECIPE)
        .field("packer", erofs::RECIPE)
        .finish()
}

fn write(
    store: &Store,
    rootfs: &Rootfs,
    bill: &str,
    directory: &Path,
    progress: &dyn Fn(&str),
) -> Result<()> {
    let manifest = rootfs.tree.manifest();
    let image = directory.join("slot.img");
    let packing = |path: &ImagePath| progress(&format!("packing {path}"));
    let writing = || format!("writing erofs image for {}", rootfs.role.name);
    let packs = Packs::of(store, manifest, &rootfs.contents, packing).with_context(writing)?;
    let slot = slot::write(manifest, &rootfs.contents, &packs, &image).with_context(writing)?;
    let init = manifest.get(&INIT.parse()?).with_context(|| format!("no component brings {INIT}"))?;
    let from = initramfs::stored(store, init, &rootfs.contents)?;
    let initramfs = std::fs::copy(&from, directory.join(initramfs::FILE))
        .with_context(|| format!("copying {}", from.display()))?;
    let measured = Measured { slot: slot.size, initramfs, budget: size::budget(&rootfs.role) };
    let reader = BufReader::new(File::open(&image).with_context(|| format!("opening {}", image.display()))?);
    let sizes = Sizes::measure(&rootfs.role.name, &rootfs.tree, reader, measured)?;
    let index = Artifacts::of(&rootfs.role.name, &rootfs.version, &slot);
    for (file, text) in [
        (MANIFEST, manifest.to_json()),
        (sbom::FILE, bill.to_owned()),
        (size::FILE, format!("{}\n", serde_json::to_string_pretty(&sizes)?)),
        (artifacts::FILE, index.to_json()?),
    ] {
        let path = directory.join(file);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
