//! What may be in an image whichever component brings it.
//!
//! No set-id bits: nothing on a machine runs as anybody who would need them, so what Debian marks
//! (mount) loses the mark. No writable files for everybody, and everything is root's: the root
//! file system is read-only, so another owner would only hide a mistake in a recipe.

use anyhow::{Result, ensure};
use image_format::manifest::{Manifest, Node};

use crate::profile::ComponentName;

/// The manifest as it goes into the image.
///
/// # Errors
/// Something in it has no place in an image.
pub(super) fn apply(component: &ComponentName, manifest: &Manifest) -> Result<Manifest> {
    let mut kept = Manifest::new();
    for (path, node) in manifest.iter() {
        ensure!(
            node.uid == 0 && node.gid == 0,
            "component {component}: {path} belongs to {}:{}, and all of an image is root's",
            node.uid,
            node.gid
        );
        let mode = if node.is_directory() { node.mode } else { node.mode & 0o777 };
        ensure!(
            node.is_directory()
                || matches!(node.kind, image_format::manifest::Kind::Symlink { .. })
                || mode & 0o002 == 0,
            "component {component}: {path} has the mode {mode:04o}, writable by everybody"
        );
        kept.insert(path.clone(), Node { mode, ..node.clone() })?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use image_format::Digest;

    use super::*;

    fn one(node: Node) -> Result<Manifest> {
        let mut manifest = Manifest::new();
        manifest.insert("/x".parse()?, node)?;
        apply(&"thing".parse()?, &manifest)
    }

    #[test]
    fn a_set_user_id_bit_is_dropped() {
        let kept = one(Node::file(Digest::of(b""), 0, 0o4755)).unwrap();
        assert_eq!(kept.get(&"/x".parse().unwrap()).unwrap().mode, 0o755);
        let kept = one(Node::directory(0o1777)).unwrap();
        assert_eq!(kept.get(&"/x".parse().unwrap()).unwrap().mode, 0o1777);
    }

    #[test]
    fn what_everybody_may_write_and_what_is_not_root_s_is_refused() {
        assert!(one(Node::file(Digest::of(b""), 0, 0o666)).is_err());
        assert!(one(Node { uid: 1000, ..Node::file(Digest::of(b""), 0, 0o644) }).is_err());
    }
}
