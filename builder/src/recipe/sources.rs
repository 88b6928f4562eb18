//! Source files of this repository as build inputs: listed, hashed, and laid out for a build.
//!
//! A set of sources is relative paths with their bytes; small files only. [`mirror`] lays them
//! out without touching what is already so, since compilers that keep their work judge by time
//! stamps: a file's changes exactly when its bytes do, whatever the checkout's clock says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use walkdir::{DirEntry, WalkDir};

/// Files by relative path.
pub type Sources = BTreeMap<PathBuf, Vec<u8>>;

/// Every file below `directory` that `keep` wants, by its path relative to `directory`. Hidden files
/// are no sources; directories that `keep` refuses are not looked into.
///
/// # Errors
/// Something cannot be read.
pub fn read(directory: &Path, keep: impl Fn(&DirEntry) -> bool) -> Result<Sources> {
    let mut sources = Sources::new();
    let hidden = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    let walk = WalkDir::new(directory).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || (!hidden(entry) && keep(entry))) {
        let entry = entry.with_context(|| format!("listing {}", directory.display()))?;
        if entry.file_type().is_dir() {
            continue;
        }
        let text = fs::read(entry.path()).with_context(|| format!("reading {}", entry.path().display()))?;
        let relative = entry.path().strip_prefix(directory).unwrap_or(entry.path());
        sources.insert(relative.to_owned(), text);
    }
    Ok(sources)
}

/// Makes `directory` hold exactly `sources`; files that are right already keep their time stamps.
///
/// # Errors
/// Something cannot be written or removed.
pub fn mirror(sources: &Sources, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    for stale in read_paths(directory)?.into_iter().filter(|path| !sources.contains_key(path)) {
        let path = directory.join(stale);
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    for (relative, text) in sources {
        let path = directory.join(relative);
        if fs::read(&path).is_ok_and(|found| found == *text) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn read_paths(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in WalkDir::new(directory) {
        let entry = entry.with_context(|| format!("listing {}", directory.display()))?;
        if !entry.file_type().is_dir() {
            paths.push(entry.path().strip_prefix(directory).unwrap_or(entry.path()).to_owned());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn sources(of: &[(&str, &str)]) -> Sources {
        of.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_mirror_holds_what_it_was_given_and_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        mirror(&sources(&[("a", "1"), ("sub/b", "2")]), dir.path()).unwrap();
        mirror(&sources(&[("a", "1"), ("sub/c", "3")]), dir.path()).unwrap();
        assert_eq!(read(dir.path(), |_| true).unwrap(), sources(&[("a", "1"), ("sub/c", "3")]));
    }

    #[test]
    fn only_a_changed_file_gets_a_new_time_stamp() {
        let dir = tempfile::tempdir().unwrap();
        mirror(&sources(&[("same", "1"), ("other", "1")]), dir.path()).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        for name in ["same", "other"] {
            fs::File::options()
                .write(true)
                .open(dir.path().join(name))
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
        }
        mirror(&sources(&[("same", "1"), ("other", "2")]), dir.path()).unwrap();
        let stamp = |name: &str| fs::metadata(dir.path().join(name)).unwrap().modified().unwrap();
        assert_eq!(stamp("same"), long_ago);
        assert!(stamp("other") > long_ago);
    }

    #[test]
    fn hidden_files_are_no_sources() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".gitignore"), "x").unwrap();
        fs::write(dir.path().join("main.go"), "x").unwrap();
        assert_eq!(read(dir.path(), |_| true).unwrap().len(), 1);
    }
}
