//! Writing files so that nobody reads half of one, and no secret is readable in between.
//!
//! Everything an agent leaves on disk goes through [`replace`]; whatever it reads has a
//! limit. What the files say is decided elsewhere.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// What went wrong, for callers to whom an absent file is no error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// An error of `doing` something to `path`.
    pub fn new(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self { doing, path: path.to_owned(), source }
    }
}

/// Whether a write changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The file was as wanted already.
    Unchanged,
    /// It has been written.
    Changed,
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`FileError`]; also when the file is longer.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let fail = |source| FileError::new("reading", path, source);
    let length = fs::metadata(path).map_err(fail)?.len();
    if length > limit {
        return Err(fail(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{length} bytes, {limit} at most"),
        )));
    }
    fs::read(path).map_err(fail)
}

/// Reads a text of at most `limit` bytes.
///
/// # Errors
/// [`FileError`]; also when it is no UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| FileError::new("reading", path, io::Error::new(io::ErrorKind::InvalidData, "not UTF-8")))
}

/// Puts `bytes` at `path` in one step: after a power cut there is the old file or the new.
/// Missing directories are made, 0755.
///
/// # Errors
/// [`FileError`].
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<Change, FileError> {
    replace_for(None, path, bytes, mode)
}

/// As [`replace`], and the file's group is `readers`, which the writer must be in; its own without one.
///
/// # Errors
/// [`FileError`].
pub fn replace_for(readers: Option<u32>, path: &Path, bytes: &[u8], mode: u32) -> Result<Change, FileError> {
    let theirs = readers.is_none_or(|group| fs::metadata(path).is_ok_and(|found| found.gid() == group));
    if theirs && is_already(path, bytes, mode) {
        return Ok(Change::Unchanged);
    }
    make_parent(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let next = path.with_file_name(name);
    let fail = |source| FileError::new("writing", &next, source);
    // Nobody else reads it before its group is right.
    let mut file = create(&next, mode & 0o700).map_err(fail)?;
    if let Some(group) = readers {
        fchown(&file, None, Some(group)).map_err(fail)?;
    }
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&next, path).map_err(|source| FileError::new("writing", path, source))?;
    if let Some(directory) = path.parent() {
        File::open(directory)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| FileError::new("syncing", directory, source))?;
    }
    Ok(Change::Changed)
}

/// Removes a file if it is there.
///
/// # Errors
/// [`FileError`].
pub fn remove(path: &Path) -> Result<Change, FileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(Change::Changed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Change::Unchanged),
        Err(source) => Err(FileError::new("removing", path, source)),
    }
}

/// Makes a directory and its parents.
///
/// # Errors
/// [`FileError`].
pub fn make_directory(path: &Path, mode: u32) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| FileError::new("making", path, source))
}

fn make_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if !parent.is_dir() => make_directory(parent, 0o755),
        _ => Ok(()),
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    // The umask has no say, and a leftover of a crash may have another mode.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

fn is_already(path: &Path, bytes: &[u8], mode: u32) -> bool {
    let same_mode = fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o7777 == mode);
    same_mode && fs::read(path).is_ok_and(|found| found == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_readable_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/key");
        assert_eq!(replace(&path, b"one", 0o600).unwrap(), Change::Changed);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(replace(&path, b"one", 0o600).unwrap(), Change::Unchanged);
        assert_eq!(replace(&path, b"two", 0o600).unwrap(), Change::Changed);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_can_be_read_by_whom_it_is_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let own = fs::metadata(dir.path()).unwrap().gid();
        assert_eq!(replace_for(Some(own), &path, b"one", 0o640).unwrap(), Change::Changed);
        assert_eq!(replace_for(Some(own), &path, b"one", 0o640).unwrap(), Change::Unchanged);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        // One for others is not as wanted; root may give it to them, anybody else is told.
        assert_ne!(replace_for(Some(own + 1), &path, b"one", 0o640).ok(), Some(Change::Unchanged));
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read(&path, 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&path, 11).unwrap().len(), 11);
    }

    #[test]
    fn removing_what_is_not_there_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remove(&dir.path().join("none")).unwrap(), Change::Unchanged);
    }
}
