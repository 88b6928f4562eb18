//! Tool sets: programs of Debian that builds and labs run, never the host's own.
//!
//! A set names packages; the lock holds their dependency closure, and `deb::unpack_closure` makes
//! a root directory of it. Maintainer scripts never run, so the links that they would have made
//! (alternatives) are written down here.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ProfileError, Suite, ToolSetName, parse, read};

/// One tool set.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSet {
    /// The name of its file.
    pub name: ToolSetName,
    /// Its file.
    pub path: PathBuf,
    /// One line for people.
    pub description: String,
    /// The suite its packages come from.
    pub suite: Suite,
    /// The packages asked for; what they depend on comes by itself.
    pub packages: Vec<String>,
    /// Links that a maintainer script would have made.
    pub links: Vec<ToolLink>,
    /// Directories that no build needs, left out of the unpacked tree.
    pub leave_out: Vec<PathBuf>,
    /// The Go toolchain that this set's `go` downloads (Debian's own is too old to build with).
    pub go_toolchain: Option<String>,
}

/// A symbolic link of a tool set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToolLink {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub target: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawToolSet {
    description: String,
    #[serde(default)]
    suite: Suite,
    packages: Vec<String>,
    #[serde(default, rename = "link")]
    links: Vec<ToolLink>,
    #[serde(default)]
    leave_out: Vec<PathBuf>,
    go_toolchain: Option<String>,
}

impl ToolSet {
    /// Reads a tool set's file.
    ///
    /// # Errors
    /// It cannot be read or parsed.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = read(path)?;
        let raw: RawToolSet = parse(path, &text)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = ToolSetName::try_from(stem).map_err(|error| ProfileError::Reference {
            path: path.to_path_buf(),
            message: error.to_string(),
        })?;
        Ok(Self {
            name,
            path: path.to_path_buf(),
            description: raw.description,
            suite: raw.suite,
            packages: raw.packages,
            links: raw.links,
            leave_out: raw.leave_out,
            go_toolchain: raw.go_toolchain,
        })
    }
}
