//! `[image]` components: a component's files as an OCI image, unpacked in the root file system.
//!
//! Below /usr/share/slipway/images/NAME lie the layout without its layer's blob, and `rootfs/`,
//! the layer unpacked: containerd runs pods from it in place, so nothing is imported at boot and
//! nothing is stored twice.

use anyhow::{Result, ensure};
use image_format::manifest::{ImagePath, Kind, Manifest, Node};
use image_format::oci::{self, Image, Layer, Process};

use super::Part;
use crate::profile::ComponentName;
use crate::profile::component::ImageSource;

/// Where pod images are in a root file system.
const IMAGES: &str = "/usr/share/slipway/images";

/// The part that `source` describes, and the image. `rootfs` is what the component in it brings.
///
/// # Errors
/// What it would run is not in it.
pub(super) fn part(name: &ComponentName, source: &ImageSource, rootfs: &Part) -> Result<(Part, Image)> {
    let program = source.entrypoint.first().map(String::as_str).unwrap_or_default();
    let found = program.parse().ok().and_then(|path: ImagePath| rootfs.manifest.resolve(&path));
    ensure!(
        found.is_some_and(|(_, node)| matches!(node.kind, Kind::File { .. }) && node.mode & 0o111 != 0),
        "component {} has no program {program:?} to run",
        source.component
    );
    ensure!(
        source.name.rsplit('/').next().is_some_and(|last| last.contains(':')) && source.name.contains('/'),
        "{:?} is no full image name with a tag, such as registry.k8s.io/pause:3.10",
        source.name
    );
    let layer = Layer::of(&rootfs.manifest, &rootfs.contents)?;
    let image = Image { name: source.name.clone(), process: process(source), layer };
    let home: ImagePath = format!("{IMAGES}/{name}").parse()?;
    let mut part = Part { manifest: Manifest::new(), contents: rootfs.contents.clone() };
    for (path, bytes) in oci::write(&image)? {
        let node = part.contents.add_bytes(bytes, 0o644);
        part.manifest.insert(home.join(&path)?, node)?;
    }
    let unpacked = home.join("rootfs")?;
    for (path, node) in rootfs.manifest.iter() {
        part.manifest.insert(unpacked.join(path.as_str())?, Node::clone(node))?;
    }
    Ok((part, image))
}

fn process(source: &ImageSource) -> Process {
    Process {
        user: source.user.clone().unwrap_or_default(),
        env: source.environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        entrypoint: source.entrypoint.clone(),
        cmd: source.arguments.clone(),
        working_dir: source
            .working_directory
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
    }
}
