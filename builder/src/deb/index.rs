//! A suite's Packages file: what packages there are.
//!
//! Only the fields that resolving and locking need are kept. Dependencies stay text until a
//! package is chosen: of 60 000 packages, a lock asks a few hundred.

use debversion::Version;
use image_format::Digest;

use super::relation::{BadRelation, Relation, parse};
use crate::lock::LockedPackage;
use crate::profile::Suite;

/// A package of a suite.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What the lock would say about it.
    pub package: LockedPackage,
    /// Its version, to compare.
    pub version: Version,
    /// How much Debian wants it installed, for the choice between providers: 0 is `required`.
    pub priority: u8,
    /// Names that it provides besides its own.
    pub provides: Vec<Relation>,
    depends: String,
}

/// A Packages file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its syntax is wrong.
    #[error("{suite}: Packages is malformed")]
    Malformed {
        /// The suite.
        suite: Suite,
        /// Why.
        source: deb822_fast::Error,
    },
    /// A package lacks something.
    #[error("{suite}: the package {name}: {what}")]
    Package {
        /// The suite.
        suite: Suite,
        /// The package.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Candidate {
    /// What it depends on: `Pre-Depends` and `Depends`, not `Recommends`.
    ///
    /// # Errors
    /// The field is malformed.
    pub fn depends(&self) -> Result<Vec<Vec<Relation>>, BadRelation> {
        parse(&self.depends)
    }
}

/// Reads a Packages file.
///
/// # Errors
/// It is malformed.
pub fn read(suite: &Suite, text: &str) -> Result<Vec<Candidate>, IndexError> {
    deb822_fast::Deb822::iter_paragraphs_from_reader(text.as_bytes())
        .map(|paragraph| {
            let paragraph =
                paragraph.map_err(|source| IndexError::Malformed { suite: suite.clone(), source })?;
            candidate(suite, &paragraph)
        })
        .collect()
}

fn candidate(suite: &Suite, paragraph: &deb822_fast::Paragraph) -> Result<Candidate, IndexError> {
    let name = paragraph.get("Package").unwrap_or_default().to_owned();
    let refuse = |what: String| IndexError::Package { suite: suite.clone(), name: name.clone(), what };
    let field = |field: &str| {
        paragraph.get(field).map(str::to_owned).ok_or_else(|| refuse(format!("it has no {field}")))
    };
    let text = field("Version")?;
    let version: Version = text.parse().map_err(|_| refuse(format!("{text:?} is no version")))?;
    let size = field("Size")?;
    let sha256 = field("SHA256")?;
    let sha256: Digest = sha256.parse().map_err(|_| refuse(format!("{sha256:?} is no digest")))?;
    let path = field("Filename")?;
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(refuse(format!("{path:?} leads out of the archive")));
    }
    let provides = parse(paragraph.get("Provides").unwrap_or_default())
        .map_err(|error| refuse(error.to_string()))?
        .into_iter()
        .flatten()
        .collect();
    let depends = ["Pre-Depends", "Depends"].iter().filter_map(|field| paragraph.get(field));
    let depends: Vec<&str> = depends.collect();
    let package = LockedPackage {
        version: text.clone(),
        architecture: field("Architecture")?,
        suite: suite.clone(),
        source: source(&name, &text, paragraph.get("Source")),
        path,
        size: size.parse().map_err(|_| refuse(format!("{size:?} is no size")))?,
        sha256,
        name: name.clone(),
    };
    let priority = match paragraph.get("Priority").unwrap_or_default() {
        "required" => 0,
        "important" => 1,
        "standard" => 2,
        "optional" => 3,
        _ => 4,
    };
    Ok(Candidate { package, version, priority, provides, depends: depends.join(", ") })
}

/// `name version` of the source package: the field says what differs from the binary package.
fn source(name: &str, version: &str, field: Option<&str>) -> String {
    match field.map(str::trim) {
        None => format!("{name} {version}"),
        Some(field) => match field.split_once(" (") {
            Some((source, rest)) => format!("{source} {}", rest.trim_end_matches(')')),
            None => format!("{field} {version}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Package: mawk
Version: 1.3.4-1
Priority: required
Architecture: amd64
Provides: awk
Pre-Depends: libc6 (>= 2.38)
Description: a
 b
Filename: pool/main/m/mawk/mawk_1.3.4-1_amd64.deb
Size: 141
SHA256: 7778d3e3f303b7ddb8ce0fe7c8d57473a076c6bf2e8f241f75421d2396352498

Package: gcc
Source: gcc-defaults (1.220)
Version: 4:14.2.0-1
Architecture: amd64
Filename: pool/main/g/gcc.deb
Size: 1
SHA256: 7778d3e3f303b7ddb8ce0fe7c8d57473a076c6bf2e8f241f75421d2396352498
";

    #[test]
    fn packages_are_read_with_what_they_provide_and_need() {
        let found = read(&Suite::default(), TEXT).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].provides[0].name, "awk");
        assert_eq!(found[0].depends().unwrap()[0][0].to_string(), "libc6 (>= 2.38)");
        assert_eq!(found[1].package.source, "gcc-defaults 1.220");
    }

    #[test]
    fn a_path_out_of_the_archive_is_refused() {
        let text = TEXT.replace("pool/main/m", "pool/../../etc");
        assert!(read(&Suite::default(), &text).is_err());
    }
}
