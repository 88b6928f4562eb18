//! From the store to where the user wants it.
//!
//! Copies, never links: what lies in an output directory is the user's to change, what lies in the
//! store is not (file systems that can share blocks share them). Each file appears by rename and the
//! index last, so a directory with an index is complete.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Copies `files` of `from` to `to`, in order; those that are there already stay untouched.
///
/// # Errors
/// The file system said no.
pub fn publish(from: &Path, files: &[&str], to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    if let Some((index, rest)) = files.split_last() {
        if is_same(&from.join(index), &to.join(index)) && rest.iter().all(|file| has_size(from, to, file)) {
            return Ok(());
        }
        // Without its index the directory counts for nothing until all is there.
        remove(&to.join(index))?;
    }
    for file in files {
        copy(&from.join(file), &to.join(file))?;
    }
    Ok(())
}

/// Copies one file, unless the same bytes are there already.
///
/// # Errors
/// The file system said no.
pub fn publish_file(from: &Path, to: &Path) -> Result<()> {
    if is_same(from, to) {
        return Ok(());
    }
    let directory = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    copy(from, to)
}

/// Copies one file by way of a temporary name.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copying = || format!("copying {} to {}", from.display(), to.display());
    let directory = to.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().tempfile_in(directory).with_context(copying)?;
    fs::copy(from, file.path()).with_context(copying)?;
    file.persist(to).map_err(|error| error.error).with_context(copying)?;
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::read(one), fs::read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn has_size(from: &Path, to: &Path, file: &str) -> bool {
    match (fs::metadata(from.join(file)), fs::metadata(to.join(file))) {
        (Ok(from), Ok(to)) => from.len() == to.len(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_not_copied_again() {
        let (store, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let to = out.path().join("worker");
        fs::write(store.path().join("slot.img"), "slot").unwrap();
        fs::write(store.path().join("artifacts.json"), "index").unwrap();
        let files = ["slot.img", "artifacts.json"];
        publish(store.path(), &files, &to).unwrap();
        let made = fs::metadata(to.join("slot.img")).unwrap();
        publish(store.path(), &files, &to).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(fs::metadata(to.join("slot.img")).unwrap().ino(), made.ino());
        fs::write(store.path().join("artifacts.json"), "other").unwrap();
        publish(store.path(), &files, &to).unwrap();
        assert_ne!(fs::metadata(to.join("slot.img")).unwrap().ino(), made.ino());
    }

    #[test]
    fn writing_to_what_was_published_leaves_the_store_alone() {
        let (store, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(store.path().join("slot.img"), "slot").unwrap();
        publish(store.path(), &["slot.img"], out.path()).unwrap();
        fs::write(out.path().join("slot.img"), "flip").unwrap();
        assert_eq!(fs::read(store.path().join("slot.img")).unwrap(), b"slot");
    }
}
