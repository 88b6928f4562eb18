//! Directories of the store, each made once for its key.
//!
//! `Store::entry` answers `Ready` with the finished directory or `Vacant` with a `Claim`: an empty
//! directory to fill and a lock that other processes wait for. `Claim::commit` puts it in place by
//! rename; a claim that is dropped or killed leaves nothing but rubbish in `tmp`, which the
//! next one for the same key removes. No entry changes after its commit.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use image_format::Digest;

use super::{Store, StoreError};

/// Which kind of directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Unpacked tool sets and toolchains.
    Trees,
    /// Outputs of components.
    Built,
    /// Files in the form that they have in images.
    Packs,
    /// Emitted images.
    Images,
}

impl Area {
    fn directory(self) -> &'static str {
        match self {
            Area::Trees => "trees",
            Area::Built => "built",
            Area::Packs => "packs",
            Area::Images => "images",
        }
    }
}

/// What the store has for a key.
#[derive(Debug)]
pub enum Entry {
    /// The finished directory.
    Ready(PathBuf),
    /// Nothing yet: it is the caller's to make.
    Vacant(Claim),
}

/// The right to make an entry, and the directory to make it in.
#[derive(Debug)]
pub struct Claim {
    directory: PathBuf,
    place: PathBuf,
    store: Store,
    // Held until the claim ends; the kernel lets go of it when the process dies.
    _lock: File,
}

impl Store {
    /// The place of a finished entry.
    #[must_use]
    pub fn entry_path(&self, area: Area, key: &Digest) -> PathBuf {
        self.root.join(area.directory()).join(key.to_string())
    }

    /// The entry for a key, or the right to make it. `waiting` is called once if another process
    /// is making it right now; this call returns when that one is done.
    ///
    /// # Errors
    /// The file system said no.
    pub fn entry(&self, area: Area, key: &Digest, waiting: impl FnOnce()) -> Result<Entry, StoreError> {
        let place = self.entry_path(area, key);
        if place.is_dir() {
            return Ok(Entry::Ready(place));
        }
        let lock = self.lock_exclusively(&format!("{}-{key}", area.directory()), waiting)?;
        if place.is_dir() {
            return Ok(Entry::Ready(place));
        }
        // Whoever left this here is dead: we hold the lock.
        let directory = self.root.join("tmp").join(format!("{}-{key}", area.directory()));
        remove_tree(&directory)?;
        std::fs::create_dir(&directory).map_err(StoreError::io("creating", &directory))?;
        Ok(Entry::Vacant(Claim { directory, place, store: self.clone(), _lock: lock }))
    }

    /// The directories of all finished entries, sorted.
    ///
    /// # Errors
    /// The file system said no.
    pub fn entries(&self, area: Area) -> Result<Vec<PathBuf>, StoreError> {
        let directory = self.root.join(area.directory());
        let failed = |error| StoreError::io("listing", &directory)(error);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            found.push(entry.map_err(failed)?.path());
        }
        found.sort();
        Ok(found)
    }

    /// Moves a damaged entry aside, so that it is made anew; says where it is.
    ///
    /// # Errors
    /// The file system said no.
    pub fn discard(&self, entry: &Path) -> Result<PathBuf, StoreError> {
        let directory = self.root.join("damaged");
        std::fs::create_dir_all(&directory).map_err(StoreError::io("creating", &directory))?;
        let aside = directory.join(entry.file_name().unwrap_or_default());
        remove_tree(&aside)?;
        std::fs::rename(entry, &aside).map_err(StoreError::io("moving aside", entry))?;
        Ok(aside)
    }

    /// Takes the lock of that name; the kernel gives it back when the process ends, however it ends.
    ///
    /// # Errors
    /// The file system said no.
    pub fn lock_exclusively(&self, name: &str, waiting: impl FnOnce()) -> Result<File, StoreError> {
        let path = self.root.join("locks").join(name);
        let failed = |source| StoreError::io("locking", &path)(source);
        // Lock files stay: removing one while another process waits for it would let two in.
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(file)
    }
}

impl Claim {
    /// The empty directory to fill.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the entry will be: what refers to its own place must say this.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Puts the filled directory in place.
    ///
    /// # Errors
    /// The file system said no; nothing is in place then.
    pub fn commit(self) -> Result<PathBuf, StoreError> {
        sync_file_system(&self.directory)?;
        std::fs::rename(&self.directory, &self.place)
            .map_err(StoreError::io("putting in place", &self.place))?;
        sync_directory(self.place.parent().unwrap_or(self.store.root()))?;
        Ok(self.place.clone())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // After a commit it is gone already; what cannot be removed now, the next claim removes.
        if let Err(error) = remove_tree(&self.directory) {
            tracing::debug!(%error, "leaving rubbish in the store");
        }
    }
}

/// Everything written to the file system of `path` reaches its disk.
fn sync_file_system(path: &Path) -> Result<(), StoreError> {
    let file = File::open(path).map_err(StoreError::io("opening", path))?;
    rustix::fs::syncfs(&file).map_err(|errno| StoreError::io("syncing", path)(errno.into()))
}

/// A rename in `path` reaches the disk.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let file = File::open(path).map_err(StoreError::io("opening", path))?;
    file.sync_all().map_err(StoreError::io("syncing", path))
}

/// Removes a tree, also one with directories that its owner may not write to.
fn remove_tree(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_dir_all(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(StoreError::io("removing", path)(error)),
    }
    for entry in walkdir::WalkDir::new(path).into_iter().flatten() {
        if entry.file_type().is_dir() {
            let _ = std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o700));
        }
    }
    std::fs::remove_dir_all(path).map_err(StoreError::io("removing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        (directory, store)
    }

    fn claim(store: &Store, key: &Digest) -> Claim {
        match store.entry(Area::Built, key, || {}).unwrap() {
            Entry::Vacant(claim) => claim,
            Entry::Ready(path) => panic!("{} is there already", path.display()),
        }
    }

    #[test]
    fn an_entry_appears_only_when_it_is_committed() {
        let (_guard, store) = store();
        let key = Digest::of(b"key");
        let abandoned = claim(&store, &key);
        std::fs::write(abandoned.directory().join("half"), "half").unwrap();
        drop(abandoned);
        let finished = claim(&store, &key);
        assert!(!finished.directory().join("half").exists());
        std::fs::write(finished.directory().join("whole"), "whole").unwrap();
        let path = finished.commit().unwrap();
        assert_eq!(std::fs::read_to_string(path.join("whole")).unwrap(), "whole");
        assert!(matches!(store.entry(Area::Built, &key, || {}).unwrap(), Entry::Ready(_)));
    }

    #[test]
    fn a_killed_maker_s_leftovers_do_not_reach_the_next() {
        let (_guard, store) = store();
        let key = Digest::of(b"key");
        let killed = claim(&store, &key);
        std::fs::create_dir(killed.directory().join("directory")).unwrap();
        // What kill -9 does: no destructor runs, the kernel closes the lock's descriptor.
        let Claim { _lock, .. } = &*std::mem::ManuallyDrop::new(killed);
        _lock.unlock().unwrap();
        assert_eq!(std::fs::read_dir(claim(&store, &key).directory()).unwrap().count(), 0);
    }

    #[test]
    fn of_two_makers_one_waits_and_finds_the_other_s_work() {
        let (_guard, store) = store();
        let key = Digest::of(b"key");
        let first = claim(&store, &key);
        let (told, waits) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| store.entry(Area::Built, &key, || told.send(()).unwrap()));
            waits.recv().unwrap();
            first.commit().unwrap();
            assert!(matches!(second.join().unwrap().unwrap(), Entry::Ready(_)));
        });
    }
}
