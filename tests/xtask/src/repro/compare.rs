//! Two directories that should hold the same bytes: which files differ, and from which byte on.
//!
//! Reads files and says what it found; what is compared with what is `super`'s business. A
//! file that only one side has is a difference too. Modes are not compared: an output's mode
//! is in its manifest, which is a file.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

/// What two directories have at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The path below both.
    pub path: PathBuf,
    /// The first's length in bytes; a link's is that of its target.
    pub size: u64,
    /// SHA-256 of the first, in hexadecimal; empty when only the second has it.
    pub sha256: String,
    /// Whether they agree.
    pub verdict: Verdict,
}

/// Whether two files agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Byte by byte.
    Same,
    /// The first byte that differs, or the length of the shorter one.
    DiffersAt(u64),
    /// Links to different targets, or things of different kinds.
    OtherKind(String),
    /// The second build did not make it.
    OnlyFirst,
    /// The first build did not make it.
    OnlySecond,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Same => write!(f, "same"),
            Verdict::DiffersAt(offset) => write!(f, "DIFFERS at byte {offset}"),
            Verdict::OtherKind(what) => write!(f, "DIFFERS: {what}"),
            Verdict::OnlyFirst => write!(f, "MISSING in the second build"),
            Verdict::OnlySecond => write!(f, "MISSING in the first build"),
        }
    }
}

/// Compares every file and link below two directories, in the order of their paths.
///
/// # Errors
/// Something cannot be read.
pub fn directories(first: &Path, second: &Path) -> Result<Vec<Compared>> {
    let (ours, theirs) = (paths(first)?, paths(second)?);
    ours.union(&theirs)
        .map(|path| {
            let (one, other) = (first.join(path), second.join(path));
            let (size, sha256, verdict) = match (ours.contains(path), theirs.contains(path)) {
                (true, true) => both(&one, &other)?,
                (true, false) => (length(&one)?, digest(&one)?, Verdict::OnlyFirst),
                _ => (length(&other)?, String::new(), Verdict::OnlySecond),
            };
            Ok(Compared { path: path.clone(), size, sha256, verdict })
        })
        .collect()
}

fn paths(directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in WalkDir::new(directory) {
        let entry = entry.with_context(|| format!("listing {}", directory.display()))?;
        if !entry.file_type().is_dir() {
            found.insert(entry.path().strip_prefix(directory).unwrap_or(entry.path()).to_owned());
        }
    }
    Ok(found)
}

fn both(one: &Path, other: &Path) -> Result<(u64, String, Verdict)> {
    let (size, sha256) = (length(one)?, digest(one)?);
    let verdict = match (link(one), link(other)) {
        (None, None) => match first_difference(one, other)? {
            None => Verdict::Same,
            Some(offset) => Verdict::DiffersAt(offset),
        },
        (Some(one), Some(other)) if one == other => Verdict::Same,
        (Some(one), Some(other)) => {
            Verdict::OtherKind(format!("links to {} and to {}", one.display(), other.display()))
        }
        _ => Verdict::OtherKind("one is a link, the other a file".to_owned()),
    };
    Ok((size, sha256, verdict))
}

fn link(path: &Path) -> Option<PathBuf> {
    fs::read_link(path).ok()
}

fn length(path: &Path) -> Result<u64> {
    Ok(fs::symlink_metadata(path).with_context(|| format!("reading {}", path.display()))?.len())
}

fn digest(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    match link(path) {
        Some(target) => hasher.update(target.as_os_str().as_encoded_bytes()),
        None => {
            let mut file = open(path)?;
            std::io::copy(&mut file, &mut hasher).with_context(|| format!("reading {}", path.display()))?;
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The offset of the first byte in which two files differ; where one of them ends counts.
fn first_difference(one: &Path, other: &Path) -> Result<Option<u64>> {
    let (mut left, mut right) = (open(one)?, open(other)?);
    let mut offset = 0_u64;
    loop {
        let ours = left.fill_buf().with_context(|| format!("reading {}", one.display()))?;
        let theirs = right.fill_buf().with_context(|| format!("reading {}", other.display()))?;
        let shorter = ours.len().min(theirs.len());
        if let Some(at) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
            return Ok(Some(offset + at as u64));
        }
        if shorter == 0 {
            return Ok((ours.len() != theirs.len()).then_some(offset));
        }
        left.consume(shorter);
        right.consume(shorter);
        offset += shorter as u64;
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(BufReader::with_capacity(1 << 18, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(first: &[(&str, &[u8])], second: &[(&str, &[u8])]) -> Vec<(String, Verdict)> {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (directory, files) in [(&one, first), (&other, second)] {
            for (path, bytes) in files {
                let path = directory.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        let compared = directories(one.path(), other.path()).unwrap();
        compared.into_iter().map(|c| (c.path.display().to_string(), c.verdict)).collect()
    }

    #[test]
    fn equal_trees_are_the_same_and_digests_are_those_of_sha256sum() {
        assert_eq!(verdicts(&[("a/b", b"x")], &[("a/b", b"x")]), [("a/b".to_owned(), Verdict::Same)]);
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("f"), b"abc").unwrap();
        let compared = directories(directory.path(), directory.path()).unwrap();
        assert_eq!(compared[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_first_differing_byte_is_named_beyond_one_buffer_too() {
        let mut long = vec![7_u8; (1 << 18) * 2 + 100];
        let same = long.clone();
        long[(1 << 18) + 5] = 8;
        let found = verdicts(&[("f", &same)], &[("f", &long)]);
        assert_eq!(found, [("f".to_owned(), Verdict::DiffersAt((1 << 18) + 5))]);
    }

    #[test]
    fn a_file_that_ends_early_differs_where_it_ends() {
        assert_eq!(verdicts(&[("f", b"abc")], &[("f", b"ab")])[0].1, Verdict::DiffersAt(2));
    }

    #[test]
    fn a_file_that_only_one_build_made_is_a_difference() {
        let found = verdicts(&[("a", b"")], &[("b", b"")]);
        assert_eq!(found, [("a".to_owned(), Verdict::OnlyFirst), ("b".to_owned(), Verdict::OnlySecond)]);
    }

    #[test]
    fn links_are_compared_by_what_they_say() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink("here", one.path().join("l")).unwrap();
        std::os::unix::fs::symlink("there", other.path().join("l")).unwrap();
        let found = directories(one.path(), other.path()).unwrap();
        assert!(matches!(found[0].verdict, Verdict::OtherKind(_)), "{found:?}");
    }
}
