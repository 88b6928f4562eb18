//! Names that profiles use: of components, tool sets and Debian suites.
//!
//! One grammar for all of them, since each becomes a file name and a TOML key: lower-case letters,
//! digits, `-` and `.`, starting with a letter, at most 64 bytes. Roles and services have their
//! types in `machine-config`.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is no name.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0:?} is no name: lower-case letters, digits, `-` and `.`, a letter first, at most 64")]
pub struct NameError(String);

fn checked(text: String) -> Result<String, NameError> {
    let fits = text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
    if fits { Ok(text) } else { Err(NameError(text)) }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                checked(text).map(Self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                checked(text.to_owned()).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}

names! {
    /// A component: the name of its directory below `profiles/components`.
    ComponentName,
    /// A tool set: its file's name below `profiles/tools`.
    ToolSetName,
    /// A suite of Debian's archive, such as `trixie`.
    Suite,
}

impl Default for Suite {
    /// The suite of everything that does not say otherwise.
    fn default() -> Self {
        Self("trixie".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_leave_its_directory_is_refused() {
        for text in ["../x", "a/b", "", "-a", "Upper", ".hidden"] {
            assert!(text.parse::<ComponentName>().is_err(), "{text}");
        }
        assert_eq!("cni-plugins".parse::<ComponentName>().unwrap().as_str(), "cni-plugins");
    }
}
