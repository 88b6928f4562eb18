//! SPDX 2.3 as JSON: the fields that we write, named as the specification names them.
//!
//! Types only; which packages are in a role and where they came from is gathered by `sbom`,
//! `sbom::go` and `sbom::crates`. There is no reader: nothing of ours believes an SBOM. Fields
//! are in the order in which they are written, so that two builds give the same bytes.

use serde::Serialize;

/// A document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) spdx_version: &'static str,
    pub(super) data_license: &'static str,
    #[serde(rename = "SPDXID")]
    pub(super) id: &'static str,
    pub(super) name: String,
    pub(super) document_namespace: String,
    pub(super) creation_info: CreationInfo,
    pub(super) packages: Vec<Package>,
    pub(super) relationships: Vec<Relationship>,
}

/// Who made the document, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CreationInfo {
    pub(super) created: String,
    pub(super) creators: Vec<String>,
}

/// Something in the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Package {
    #[serde(rename = "SPDXID")]
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version_info: String,
    pub(super) download_location: &'static str,
    pub(super) files_analyzed: bool,
    pub(super) license_concluded: &'static str,
    pub(super) license_declared: String,
    pub(super) copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) external_refs: Vec<ExternalRef>,
}

/// A digest of what was fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checksum {
    pub(super) algorithm: &'static str,
    pub(super) checksum_value: String,
}

/// A package's name in its own world.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExternalRef {
    pub(super) reference_category: &'static str,
    pub(super) reference_type: &'static str,
    pub(super) reference_locator: String,
}

/// What contains what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relationship {
    pub(super) spdx_element_id: String,
    pub(super) relationship_type: &'static str,
    pub(super) related_spdx_element: String,
}

/// What SPDX says where nothing is known.
pub(super) const NO_ASSERTION: &str = "NOASSERTION";

impl Package {
    /// A package about which nothing else is known.
    pub(super) fn new(id: String, name: &str, version: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            version_info: version.to_owned(),
            download_location: NO_ASSERTION,
            files_analyzed: false,
            license_concluded: NO_ASSERTION,
            license_declared: NO_ASSERTION.to_owned(),
            copyright_text: NO_ASSERTION,
            source_info: None,
            primary_package_purpose: None,
            checksums: Vec::new(),
            external_refs: Vec::new(),
        }
    }

    /// Adds its package URL.
    pub(super) fn with_purl(mut self, purl: String) -> Self {
        self.external_refs.push(ExternalRef {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: purl,
        });
        self
    }

    /// Adds the digest of what was fetched.
    pub(super) fn with_sha256(mut self, digest: &image_format::Digest) -> Self {
        self.checksums.push(Checksum { algorithm: "SHA256", checksum_value: digest.to_string() });
        self
    }
}

/// An identifier: SPDX allows letters, digits, `.` and `-`, so everything else becomes `-` and a
/// piece of the text's digest keeps two such texts apart.
pub(super) fn id(kind: &str, text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let digest = image_format::Digest::of(text.as_bytes()).to_string();
    format!("SPDXRef-{kind}-{plain}-{}", digest.get(..8).unwrap_or_default())
}

/// Text in a package URL.
pub(super) fn purl_text(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
