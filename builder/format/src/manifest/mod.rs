//! The manifest of a file tree: what every writer consumes instead of walking a directory.
//!
//! A sorted map from path to node, without contents (those are named by digest) and without
//! times (all files of an image have the same). Equal trees have equal JSON, so the digest of a
//! manifest identifies a tree. `path` holds what a path may be, `merge` how the manifests of
//! components become one.

mod merge;
mod path;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;

use serde::{Deserialize, Serialize};

use crate::Digest;

pub use merge::{Conflict, Merged};
pub use path::{ImagePath, PathError};

/// A file, directory or symbolic link: everything of it but its path and its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Node {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    #[serde(with = "octal")]
    pub mode: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// A directory.
    Directory {},
    /// A regular file.
    File {
        /// The digest of its contents.
        sha256: Digest,
        /// Bytes of its contents.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points to; not empty, not longer than a path.
        target: String,
    },
}

impl Node {
    /// A directory of root's.
    #[must_use]
    pub fn directory(mode: u16) -> Self {
        Self { kind: Kind::Directory {}, mode, uid: 0, gid: 0 }
    }

    /// A file of root's.
    #[must_use]
    pub fn file(sha256: Digest, size: u64, mode: u16) -> Self {
        Self { kind: Kind::File { sha256, size }, mode, uid: 0, gid: 0 }
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(target: impl Into<String>) -> Self {
        Self { kind: Kind::Symlink { target: target.into() }, mode: 0o777, uid: 0, gid: 0 }
    }

    /// Bytes of a regular file, 0 for everything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory {})
    }
}

/// A tree of nodes. The root directory is always in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    nodes: BTreeMap<ImagePath, Node>,
}

/// Why a node cannot be in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The path is taken.
    #[error("{0} is in the manifest twice")]
    Twice(ImagePath),
    /// Its parent holds nothing.
    #[error("{path} lies below {parent}, which is no directory")]
    Parent {
        /// The node.
        path: ImagePath,
        /// What it should lie in.
        parent: ImagePath,
    },
    /// More than permission bits.
    #[error("{path} has the mode {mode:o}, which is more than permission bits")]
    Mode {
        /// The node.
        path: ImagePath,
        /// As given.
        mode: u16,
    },
    /// A link to nowhere.
    #[error("the symbolic link {0} has an empty or overlong target")]
    Target(ImagePath),
    /// Not the JSON of a manifest.
    #[error("parsing a manifest: {0}")]
    Json(String),
}

impl Default for Manifest {
    fn default() -> Self {
        Self { nodes: BTreeMap::from([(ImagePath::root(), Node::directory(0o755))]) }
    }
}

impl Manifest {
    /// Only the root directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node, and the directories over it that are missing (root's, 0755). A directory
    /// that was added only because something lies in it takes the given node's mode and owner.
    ///
    /// # Errors
    /// [`ManifestError`]; the manifest is then as it was.
    pub fn insert(&mut self, path: ImagePath, node: Node) -> Result<(), ManifestError> {
        check(&path, &node)?;
        let mut missing = Vec::new();
        let mut above = path.parent();
        while let Some(parent) = above {
            match self.nodes.get(&parent) {
                Some(found) if found.is_directory() => break,
                Some(_) => return Err(ManifestError::Parent { path, parent }),
                None => {
                    above = parent.parent();
                    missing.push(parent);
                }
            }
        }
        match self.nodes.entry(path) {
            MapEntry::Vacant(slot) => {
                slot.insert(node);
            }
            MapEntry::Occupied(mut slot) if node.is_directory() && *slot.get() == Node::directory(0o755) => {
                slot.insert(node);
            }
            MapEntry::Occupied(slot) if *slot.get() == node && node.is_directory() => {}
            MapEntry::Occupied(slot) => return Err(ManifestError::Twice(slot.key().clone())),
        }
        self.nodes.extend(missing.into_iter().map(|parent| (parent, Node::directory(0o755))));
        Ok(())
    }

    /// The node at `path`.
    #[must_use]
    pub fn get(&self, path: &ImagePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Where `path` leads when symbolic links are followed, as the kernel would with this tree as
    /// its root. None if it leads out of the tree, nowhere, or in circles.
    #[must_use]
    pub fn resolve(&self, path: &ImagePath) -> Option<(ImagePath, &Node)> {
        // The kernel's own limit.
        let mut links_left = 40_u32;
        let mut at = ImagePath::root();
        let mut todo: Vec<String> = path.relative().rsplit('/').map(str::to_owned).collect();
        while let Some(name) = todo.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    at = at.parent().unwrap_or_else(ImagePath::root);
                    continue;
                }
                _ => {}
            }
            let next = at.join(&name).ok()?;
            let node = self.nodes.get(&next)?;
            if let Kind::Symlink { target } = &node.kind {
                links_left = links_left.checked_sub(1)?;
                if target.starts_with('/') {
                    at = ImagePath::root();
                }
                todo.extend(target.rsplit('/').map(str::to_owned));
            } else if node.is_directory() || todo.is_empty() {
                at = next;
            } else {
                return None;
            }
        }
        self.nodes.get(&at).map(|node| (at.clone(), node))
    }

    /// All nodes in order, the root directory first.
    pub fn iter(&self) -> impl Iterator<Item = (&ImagePath, &Node)> {
        self.nodes.iter()
    }

    /// Bytes of all regular files together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.nodes.values().map(Node::size).fold(0, u64::saturating_add)
    }

    /// The manifest as JSON text: one node per line, the same text for the same tree.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            path: &'a ImagePath,
            #[serde(flatten)]
            node: &'a Node,
        }
        let lines: Vec<String> = self
            .nodes
            .iter()
            .filter_map(|(path, node)| serde_json::to_string(&Line { path, node }).ok())
            .collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    }

    /// Reads what [`Manifest::to_json`] wrote.
    ///
    /// # Errors
    /// [`ManifestError`]: it is no JSON of that form, or describes no tree.
    pub fn from_json(text: &[u8]) -> Result<Self, ManifestError> {
        // No `deny_unknown_fields` here: serde cannot combine it with `flatten`. A tree that
        // is not ours fails in `insert`.
        #[derive(Deserialize)]
        struct Line {
            path: ImagePath,
            #[serde(flatten)]
            node: Node,
        }
        let lines: Vec<Line> =
            serde_json::from_slice(text).map_err(|error| ManifestError::Json(error.to_string()))?;
        let mut manifest = Self::new();
        for Line { path, node } in lines {
            manifest.insert(path, node)?;
        }
        Ok(manifest)
    }

    /// The digest that identifies the tree.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_json().as_bytes())
    }
}

fn check(path: &ImagePath, node: &Node) -> Result<(), ManifestError> {
    if node.mode > 0o7777 {
        return Err(ManifestError::Mode { path: path.clone(), mode: node.mode });
    }
    match &node.kind {
        Kind::Symlink { target } if target.is_empty() || target.len() > 4095 || target.contains('\0') => {
            Err(ManifestError::Target(path.clone()))
        }
        Kind::File { .. } | Kind::Symlink { .. } if path.is_root() => {
            Err(ManifestError::Parent { path: path.clone(), parent: path.clone() })
        }
        _ => Ok(()),
    }
}

/// Modes as people write them: `"0755"`.
mod octal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(mode: &u16, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        u16::from_str_radix(&text, 8).map_err(|_| D::Error::custom(format!("{text:?} is no octal mode")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> ImagePath {
        text.parse().unwrap()
    }

    #[test]
    fn missing_parents_are_added_and_later_given_their_own_mode() {
        let mut manifest = Manifest::new();
        manifest.insert(path("/a/b/c"), Node::file(Digest::of(b""), 0, 0o644)).unwrap();
        manifest.insert(path("/a"), Node::directory(0o700)).unwrap();
        assert_eq!(manifest.get(&path("/a")).unwrap().mode, 0o700);
        assert_eq!(manifest.get(&path("/a/b")).unwrap().mode, 0o755);
    }

    #[test]
    fn nothing_lies_below_a_file() {
        let mut manifest = Manifest::new();
        manifest.insert(path("/a"), Node::symlink("usr/a")).unwrap();
        let error = manifest.insert(path("/a/b"), Node::directory(0o755)).unwrap_err();
        assert_eq!(error, ManifestError::Parent { path: path("/a/b"), parent: path("/a") });
        assert_eq!(manifest.insert(path("/a"), Node::symlink("x")), Err(ManifestError::Twice(path("/a"))));
    }

    #[test]
    fn the_json_has_a_line_per_node() {
        let mut manifest = Manifest::new();
        manifest.insert(path("/sbin"), Node::symlink("usr/sbin")).unwrap();
        let text = manifest.to_json();
        assert!(text.contains(
            "{\"path\":\"/sbin\",\"kind\":\"symlink\",\"target\":\"usr/sbin\",\"mode\":\"0777\",\"uid\":0,\"gid\":0}"
        ));
    }

    #[test]
    fn links_are_followed_inside_the_tree() {
        let mut manifest = Manifest::new();
        let program = Node::file(Digest::of(b"x"), 1, 0o755);
        manifest.insert(path("/usr/bin/kube-node"), program.clone()).unwrap();
        manifest.insert(path("/usr/bin/kubelet"), Node::symlink("kube-node")).unwrap();
        manifest.insert(path("/bin"), Node::symlink("usr/bin")).unwrap();
        manifest.insert(path("/opt/bin"), Node::symlink("/../bin/.//")).unwrap();
        manifest.insert(path("/loop"), Node::symlink("loop")).unwrap();
        for text in ["/bin/kubelet", "/opt/bin/kubelet", "/usr/bin/kube-node"] {
            let found = manifest.resolve(&path(text));
            assert_eq!(found, Some((path("/usr/bin/kube-node"), &program)), "{text}");
        }
        for text in ["/loop", "/bin/kubelet/x", "/bin/none"] {
            assert_eq!(manifest.resolve(&path(text)), None, "{text}");
        }
    }

    fn node() -> impl Strategy<Value = Node> {
        let kind = prop_oneof![
            Just(Kind::Directory {}),
            (any::<u64>(), any::<[u8; 4]>())
                .prop_map(|(size, seed)| Kind::File { sha256: Digest::of(&seed), size }),
            "[a-z/.]{1,20}".prop_map(|target| Kind::Symlink { target }),
        ];
        (kind, 0_u16..=0o7777, any::<u32>(), any::<u32>()).prop_map(|(kind, mode, uid, gid)| Node {
            kind,
            mode,
            uid,
            gid,
        })
    }

    proptest! {
        #[test]
        fn a_manifest_reads_back_whatever_order_it_was_filled_in(
            nodes in proptest::collection::vec(("(/[a-c]{1,2}){1,4}", node()), 0..30)
        ) {
            let mut manifest = Manifest::new();
            for (at, node) in nodes {
                let _ = manifest.insert(at.parse().unwrap(), node);
            }
            let read = Manifest::from_json(manifest.to_json().as_bytes()).unwrap();
            prop_assert_eq!(read.digest(), manifest.digest());
            prop_assert_eq!(read, manifest);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = Manifest::from_json(text.as_bytes());
        }
    }
}
