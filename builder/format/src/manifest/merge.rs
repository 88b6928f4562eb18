//! Several manifests to one, with whose each node is.
//!
//! Directories may be in many, and so may equal files and links: two programs out of Debian bring
//! the same C library. Two that disagree are an error that names both.

use std::collections::BTreeMap;

use super::{ImagePath, Manifest, ManifestError, Node};

/// A manifest under construction, and who contributed what.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    manifest: Manifest,
    owners: BTreeMap<ImagePath, String>,
}

/// Two contributors that cannot both have their way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The same path.
    #[error("components {first} and {second} both have {path}{detail}")]
    Both {
        /// Who came first.
        first: String,
        /// Who came second.
        second: String,
        /// What they fight for.
        path: ImagePath,
        /// How they differ, where that needs saying.
        detail: String,
    },
    /// A file where a directory is needed.
    #[error("component {second} has {path}, but component {first} has {parent}, which is no directory")]
    Below {
        /// Whose file is in the way.
        first: String,
        /// Who needs the directory.
        second: String,
        /// What should lie in it.
        path: ImagePath,
        /// The file in the way.
        parent: ImagePath,
    },
    /// A contribution that is wrong by itself.
    #[error("component {owner}")]
    Wrong {
        /// Whose.
        owner: String,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
}

impl Merged {
    /// Nothing but a root directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all that `owner` has. Directories that `owner` only passes through (root's, 0755)
    /// give way to what others say of them.
    ///
    /// # Errors
    /// [`Conflict`] with what is there already.
    pub fn add(&mut self, owner: &str, manifest: &Manifest) -> Result<(), Conflict> {
        for (path, node) in manifest.iter() {
            self.add_node(owner, path, node)?;
        }
        Ok(())
    }

    /// Adds one node of `owner`'s.
    ///
    /// # Errors
    /// [`Conflict`] with what is there already.
    pub fn add_node(&mut self, owner: &str, path: &ImagePath, node: &Node) -> Result<(), Conflict> {
        let plain = Node::directory(0o755);
        if let Some(found) = self.manifest.get(path) {
            if found == node || (found.is_directory() && *node == plain) {
                return Ok(());
            }
            if !(node.is_directory() && *found == plain) {
                return Err(self.both(owner, path, found, node));
            }
        }
        match self.manifest.insert(path.clone(), node.clone()) {
            Ok(()) => {}
            Err(ManifestError::Parent { path, parent }) => {
                let first = self.owner(&parent).unwrap_or_default().to_owned();
                return Err(Conflict::Below { first, second: owner.to_owned(), path, parent });
            }
            Err(source) => return Err(Conflict::Wrong { owner: owner.to_owned(), source }),
        }
        if !path.is_root() {
            self.owners.insert(path.clone(), owner.to_owned());
        }
        Ok(())
    }

    /// Whose the node at `path` is; the first who had it, for directories.
    #[must_use]
    pub fn owner(&self, path: &ImagePath) -> Option<&str> {
        self.owners.get(path).map(String::as_str)
    }

    /// All nodes with their owners, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ImagePath, &Node, Option<&str>)> {
        self.manifest.iter().map(|(path, node)| (path, node, self.owner(path)))
    }

    /// The manifest as it is now.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn both(&self, owner: &str, path: &ImagePath, found: &Node, node: &Node) -> Conflict {
        let detail = match (found.is_directory(), node.is_directory()) {
            (true, false) => ", the first as a directory".to_owned(),
            (false, true) => ", the second as a directory".to_owned(),
            _ if found.kind == node.kind => format!(
                ", with mode {:04o} of {}:{} and {:04o} of {}:{}",
                found.mode, found.uid, found.gid, node.mode, node.uid, node.gid
            ),
            _ => ", with different contents".to_owned(),
        };
        Conflict::Both {
            first: self.owner(path).unwrap_or("of the root directory").to_owned(),
            second: owner.to_owned(),
            path: path.clone(),
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn manifest(nodes: &[(&str, Node)]) -> Manifest {
        let mut manifest = Manifest::new();
        for (path, node) in nodes {
            manifest.insert(path.parse().unwrap(), node.clone()).unwrap();
        }
        manifest
    }

    fn file(contents: &[u8]) -> Node {
        Node::file(Digest::of(contents), contents.len() as u64, 0o644)
    }

    fn merge(parts: &[(&str, Manifest)]) -> Result<Merged, Conflict> {
        let mut merged = Merged::new();
        parts.iter().try_for_each(|(owner, manifest)| merged.add(owner, manifest))?;
        Ok(merged)
    }

    #[test]
    fn components_share_directories() {
        let merged = merge(&[
            ("one", manifest(&[("/usr/bin/a", file(b"a"))])),
            ("two", manifest(&[("/usr/bin/b", file(b"b"))])),
        ])
        .unwrap();
        assert_eq!(merged.owner(&"/usr/bin/b".parse().unwrap()), Some("two"));
        assert_eq!(merged.manifest().iter().count(), 5);
    }

    #[test]
    fn two_components_with_the_same_file_are_both_named() {
        let same = merge(&[
            ("one", manifest(&[("/usr/bin/a", file(b"a"))])),
            ("two", manifest(&[("/usr/bin/a", file(b"b"))])),
        ]);
        assert_eq!(
            same.unwrap_err().to_string(),
            "components one and two both have /usr/bin/a, with different contents"
        );
    }

    #[test]
    fn a_library_that_two_components_bring_alike_is_the_first_one_s() {
        let libc = manifest(&[("/usr/lib/libc.so.6", file(b"libc"))]);
        let merged = merge(&[("haproxy", libc.clone()), ("nftables", libc)]).unwrap();
        assert_eq!(merged.owner(&"/usr/lib/libc.so.6".parse().unwrap()), Some("haproxy"));
    }

    #[test]
    fn equal_contents_with_other_modes_are_a_conflict() {
        let one = manifest(&[("/a", file(b"a"))]);
        let two = manifest(&[("/a", Node { mode: 0o600, ..file(b"a") })]);
        let error = merge(&[("one", one), ("two", two)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "components one and two both have /a, with mode 0644 of 0:0 and 0600 of 0:0"
        );
    }

    #[test]
    fn a_directory_of_one_cannot_be_a_link_of_the_other() {
        let link = manifest(&[("/bin", Node::symlink("usr/bin"))]);
        let below = manifest(&[("/bin/sh", file(b"sh"))]);
        let error = merge(&[("skeleton", link.clone()), ("shell", below.clone())]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "components skeleton and shell both have /bin, the second as a directory"
        );
        let error = merge(&[("shell", below), ("skeleton", link)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "components shell and skeleton both have /bin, the first as a directory"
        );
    }

    #[test]
    fn a_directory_with_a_mode_of_its_own_wins_over_one_that_is_only_passed_through() {
        let state = manifest(&[("/state", Node::directory(0o700))]);
        let passing = manifest(&[("/state/x", file(b"x"))]);
        for parts in [[("a", &state), ("b", &passing)], [("b", &passing), ("a", &state)]] {
            let merged = merge(&parts.map(|(owner, manifest)| (owner, manifest.clone()))).unwrap();
            assert_eq!(merged.manifest().get(&"/state".parse().unwrap()).unwrap().mode, 0o700);
        }
        let other = manifest(&[("/state", Node::directory(0o750))]);
        let error = merge(&[("a", state), ("b", other)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "components a and b both have /state, with mode 0700 of 0:0 and 0750 of 0:0"
        );
    }
}
