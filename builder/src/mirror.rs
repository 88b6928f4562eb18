//! Where Debian's packages come from: a flag, an environment variable, or this machine's apt.
//!
//! The repository and the lock name no host. `from_sources_list` and `from_deb822` are pure: they
//! find the first entry that serves Debian's main archive, leaving out security and updates
//! archives, other distributions and other keys. `find` reads the files.

use std::path::{Path, PathBuf};

/// The environment variable that names the mirror.
pub const VARIABLE: &str = "SLIPWAY_DEBIAN_MIRROR";

/// Names under which Debian's main archive serves suites that may stand in an apt source.
const SUITES: [&str; 13] = [
    "stable",
    "testing",
    "unstable",
    "sid",
    "oldstable",
    "oldoldstable",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "rc-buggy",
];

/// A mirror of Debian's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    base: String,
    named_by: String,
}

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// None of the three ways.
    #[error(
        "no Debian mirror is known; name one in any of three ways: --debian-mirror URL, the environment \
         variable {VARIABLE}, or an entry for Debian's main archive in this machine's apt sources \
         (/etc/apt/sources.list, /etc/apt/sources.list.d)"
    )]
    Unknown,
    /// It is no address.
    #[error("{given:?}, named by {named_by}, is no mirror: an http:// or https:// address is wanted")]
    NotAnAddress {
        /// What was given.
        given: String,
        /// By whom.
        named_by: String,
    },
    /// The file system said no.
    #[error("reading {}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Mirror {
    /// The mirror of the flag, else of the environment, else of the apt sources below `apt`.
    ///
    /// # Errors
    /// There is none, or what there is is no address.
    pub fn find(flag: Option<&str>, variable: Option<&str>, apt: &Path) -> Result<Self, MirrorError> {
        if let Some(given) = flag {
            return Self::new(given, "--debian-mirror");
        }
        if let Some(given) = variable.filter(|given| !given.is_empty()) {
            return Self::new(given, VARIABLE);
        }
        for path in sources(apt)? {
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(source) => return Err(MirrorError::Read { path, source }),
            };
            let found = match path.extension().and_then(|extension| extension.to_str()) {
                Some("sources") => from_deb822(&text),
                _ => from_sources_list(&text),
            };
            if let Some(base) = found {
                return Self::new(&base, &path.display().to_string());
            }
        }
        Err(MirrorError::Unknown)
    }

    fn new(given: &str, named_by: &str) -> Result<Self, MirrorError> {
        let (given, named_by) = (given.trim().to_owned(), named_by.to_owned());
        if !is_web(&given) {
            return Err(MirrorError::NotAnAddress { given, named_by });
        }
        Ok(Self { base: given.trim_end_matches('/').to_owned(), named_by })
    }

    /// The address of a path of the archive, such as `dists/trixie/InRelease`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Its address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The flag, variable or file that named it.
    #[must_use]
    pub fn named_by(&self) -> &str {
        &self.named_by
    }
}

/// apt's source files in apt's order: `sources.list`, then the directory by name.
fn sources(apt: &Path) -> Result<Vec<PathBuf>, MirrorError> {
    let mut found = Vec::new();
    let main = apt.join("sources.list");
    if main.is_file() {
        found.push(main);
    }
    let directory = apt.join("sources.list.d");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(source) => return Err(MirrorError::Read { path: directory, source }),
    };
    let mut parts = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| MirrorError::Read { path: directory.clone(), source })?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("list" | "sources")) && path.is_file() {
            parts.push(path);
        }
    }
    parts.sort();
    found.extend(parts);
    Ok(found)
}

/// The first fitting entry of a one-line-style file (sources.list(5)).
fn from_sources_list(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest = line.strip_prefix("deb")?;
        let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let signed_by = options
            .split_whitespace()
            .filter_map(|option| option.split_once('='))
            .find(|(name, _)| name.eq_ignore_ascii_case("signed-by"))
            .map(|(_, value)| value);
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        let fits = is_web(uri)
            && SUITES.contains(&suite)
            && words.any(|component| component == "main")
            && signed_by.is_none_or(is_debian_keyring);
        fits.then(|| uri.to_owned())
    })
}

/// The first fitting entry of a deb822-style file.
fn from_deb822(text: &str) -> Option<String> {
    // Whole-line comments may stand between a field's continuation lines.
    let text: String =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line.trim_end(), "\n"]).collect();
    let entries: deb822_fast::Deb822 = text.parse().ok()?;
    entries.iter().find_map(|entry| {
        let has = |field: &str, wanted: &dyn Fn(&str) -> bool| {
            entry.get(field).is_some_and(|value| value.split_whitespace().any(wanted))
        };
        let off = has("Enabled", &|word| {
            matches!(word.to_ascii_lowercase().as_str(), "no" | "false" | "off" | "0")
        });
        let fits = !off
            && has("Types", &|word| word == "deb")
            && has("Suites", &|word| SUITES.contains(&word))
            && has("Components", &|word| word == "main")
            && entry.get("Signed-By").is_none_or(is_debian_keyring);
        let uri = entry.get("URIs")?.split_whitespace().find(|uri| is_web(uri))?;
        fits.then(|| uri.to_owned())
    })
}

fn is_web(uri: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| uri.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

fn is_debian_keyring(signed_by: &str) -> bool {
    signed_by.contains("debian-archive-keyring")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_LINE: &str = "\
# deb http://commented.example/debian trixie main
deb-src http://source.example/debian trixie main
deb http://mirror.example/debian-security trixie-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/other.gpg] https://other.example/apt trixie main
deb cdrom:[Debian]/ trixie main
deb http://ubuntu.example/ubuntu noble main
deb http://free.example/debian trixie contrib # main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://right.example/debian/ trixie main contrib
deb http://late.example/debian trixie main
";

    const DEB822: &str = "\
Types: deb
# the security archive has other packages
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb deb-src
# a comment inside of an entry
URIs: http://right.example/debian
Suites: trixie trixie-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    #[test]
    fn the_first_entry_for_the_main_archive_is_taken_from_one_line_sources() {
        assert_eq!(from_sources_list(ONE_LINE).as_deref(), Some("https://right.example/debian/"));
    }

    #[test]
    fn the_first_entry_for_the_main_archive_is_taken_from_deb822_sources() {
        assert_eq!(from_deb822(DEB822).as_deref(), Some("http://right.example/debian"));
    }

    #[test]
    fn another_distribution_s_sources_hold_no_mirror() {
        let text = "Types: deb\nURIs: http://ubuntu.example/ubuntu\nSuites: noble\nComponents: main\n\
                    Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n";
        assert_eq!(from_deb822(text), None);
        assert_eq!(from_sources_list("deb http://ubuntu.example/ubuntu noble main\n"), None);
    }

    #[test]
    fn the_flag_goes_before_the_variable_and_the_variable_before_apt() {
        let apt = tempfile::tempdir().unwrap();
        std::fs::write(apt.path().join("sources.list"), "deb http://apt.example/debian trixie main").unwrap();
        let base = |flag, variable| Mirror::find(flag, variable, apt.path()).unwrap().base().to_owned();
        assert_eq!(
            base(Some("http://flag.example/"), Some("http://variable.example")),
            "http://flag.example"
        );
        assert_eq!(base(None, Some("http://variable.example")), "http://variable.example");
        assert_eq!(base(None, None), "http://apt.example/debian");
    }

    #[test]
    fn with_no_mirror_the_error_names_the_three_ways() {
        let apt = tempfile::tempdir().unwrap();
        let text = Mirror::find(None, None, apt.path()).unwrap_err().to_string();
        for way in ["--debian-mirror", "SLIPWAY_DEBIAN_MIRROR", "/etc/apt/sources.list"] {
            assert!(text.contains(way), "{text}");
        }
    }

    #[test]
    fn a_mirror_that_is_no_web_address_is_refused() {
        assert!(Mirror::find(Some("ftp://x/"), None, Path::new("/nowhere")).is_err());
    }
}
