//! What the machine config adds to a service: read at each start from where agents leave it.
//!
//! On tmpfs and bounded, so reading it does not wait for a disk. Its digest says whether a
//! later one is another.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use machine_config::service::{OVERLAY_MAX, Overlay};

use crate::service::core::Digest;

/// Reads the overlay at `path`.
///
/// # Errors
/// What to tell people.
pub(super) fn read(path: &Path) -> Result<(Overlay, Digest), String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(OVERLAY_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let told = |error: String| format!("reading {}: {error}", path.display());
    let bytes = read().map_err(|error| told(error.to_string()))?;
    let overlay = Overlay::decode(&bytes).map_err(|error| told(error.to_string()))?;
    Ok((overlay, digest(&bytes)))
}

/// The beginning of its SHA-256: enough to tell an overlay from a later one.
fn digest(bytes: &[u8]) -> Digest {
    let sha256 = image_format::Digest::of(bytes);
    Digest(sha256.as_bytes().first_chunk().map_or(0, |start| u64::from_le_bytes(*start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_read_as_it_was_written_and_another_has_another_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd");
        let mut digests = Vec::new();
        for argument in ["with\nline", "other"] {
            let written =
                Overlay { arguments: vec!["--name".to_owned(), argument.to_owned()], environment: vec![] };
            std::fs::write(&path, written.encode().unwrap()).unwrap();
            let (overlay, digest) = read(&path).unwrap();
            assert_eq!(overlay, written);
            digests.push(digest);
        }
        assert_ne!(digests[0], digests[1]);
    }

    #[test]
    fn an_absent_overlay_is_a_reason_not_to_start() {
        let error = read(Path::new("/nonexistent/etcd")).unwrap_err();
        assert!(error.starts_with("reading /nonexistent/etcd: No such file"), "{error}");
    }
}
