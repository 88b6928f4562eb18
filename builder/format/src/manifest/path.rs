//! A path inside an image: absolute, normalised, UTF-8.
//!
//! What parses cannot leave the image: no `..`, no empty or `.` component, no NUL. Order is by
//! bytes of the components, so a directory always comes before what it holds.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A normalised absolute path; the root is `/`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ImagePath(String);

/// Longest path; the kernel's PATH_MAX without its NUL.
const LEN_MAX: usize = 4095;
/// Longest component; the kernel's NAME_MAX.
const NAME_MAX: usize = 255;

/// A text that is no path inside an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is no path inside an image: {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl ImagePath {
    /// The root directory.
    #[must_use]
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Whether it is the root directory.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The whole path, beginning with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its leading `/`: what to join to a directory on the host. Empty for the root.
    #[must_use]
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// The directory it lies in; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        match self.0.rfind('/') {
            Some(0) | None => Some(Self::root()),
            Some(at) => Some(Self(self.0[..at].to_owned())),
        }
    }

    /// Its last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The path `below` (as in [`ImagePath::as_str`]) moved under this one.
    ///
    /// # Errors
    /// The result is too long, or `below` is no path.
    pub fn join(&self, below: &str) -> Result<Self, PathError> {
        let below = below.trim_start_matches('/');
        if below.is_empty() {
            return Ok(self.clone());
        }
        format!("{}/{below}", self.0.trim_end_matches('/')).parse()
    }

    /// Whether it is `directory` or lies below it.
    #[must_use]
    pub fn is_within(&self, directory: &Self) -> bool {
        directory.is_root()
            || self.0.strip_prefix(&directory.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for ImagePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let refuse = |reason| Err(PathError { path: text.to_owned(), reason });
        let Some(rest) = text.strip_prefix('/') else { return refuse("it does not begin with /") };
        if text.len() > LEN_MAX {
            return refuse("it is longer than 4095 bytes");
        }
        if text.contains('\0') {
            return refuse("it holds a NUL");
        }
        if rest.is_empty() {
            return Ok(Self::root());
        }
        for name in rest.split('/') {
            match name {
                "" => return refuse("it has an empty component"),
                "." | ".." => return refuse("it has a component . or .."),
                name if name.len() > NAME_MAX => return refuse("it has a component of more than 255 bytes"),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl Ord for ImagePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // By components: `/a/b` before `/a-c`, though `-` is a smaller byte than `/`.
        self.relative().split('/').cmp(other.relative().split('/'))
    }
}

impl PartialOrd for ImagePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for ImagePath {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ImagePath {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        text.parse().unwrap()
    }

    #[test]
    fn no_path_leaves_the_image() {
        for text in ["", "a", "//a", "/a/", "/a//b", "/a/../b", "/..", "/./a", "/a\0b"] {
            assert!(text.parse::<ImagePath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_directory_comes_before_what_it_holds_and_that_before_its_neighbours() {
        let mut paths = [path("/a-c"), path("/a/b"), path("/a"), path("/")];
        paths.sort();
        assert_eq!(paths.map(|path| path.to_string()), ["/", "/a", "/a/b", "/a-c"]);
    }

    #[test]
    fn paths_move_under_others() {
        assert_eq!(path("/x").join("/a/b").unwrap(), path("/x/a/b"));
        assert_eq!(ImagePath::root().join("/a").unwrap(), path("/a"));
        assert_eq!(path("/x").join("/").unwrap(), path("/x"));
        assert!(path("/x").join("/../a").is_err());
        assert!(path("/x/a").is_within(&path("/x")));
        assert!(!path("/xa").is_within(&path("/x")));
    }
}
