//! Closures unpacked: a directory of the store that can be the root of a sandbox.
//!
//! Permission bits are kept but for setuid and setgid, owners are not. The links of a usr-merged
//! root are made, and those that the tool set's profile lists in place of alternatives.
//! Two packages with different files of one name are an error. The key is the packages' digests and
//! what is linked and left out, so a tree is unpacked once.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::archive::{DebError, Streamed, StreamedKind, walk};
use super::listing::{self, Hashing, Listing};
use crate::lock::{Lock, LockedPackage};
use crate::profile::ToolSet;
use crate::profile::tools::ToolLink;
use crate::progress::{Amount, Outcome, Progress};
use crate::store::{Area, Entry, KeyHasher, Store};

/// The unpacked root of a tool set, from the store or made now.
///
/// # Errors
/// The lock is older than the set, a package is not in the store, or the file system said no.
pub fn unpack_closure(
    store: &Store,
    lock: &Lock,
    tools: &ToolSet,
    progress: &Progress,
) -> Result<PathBuf, DebError> {
    let packages = lock.tool_packages(tools)?;
    unpack_packages(store, tools.name.as_str(), &packages, &tools.links, &tools.leave_out, progress)
}

/// The unpacked root of any packages; `name` is for progress.
///
/// # Errors
/// A package is not in the store, or the file system said no.
pub fn unpack_packages(
    store: &Store,
    name: &str,
    packages: &[&LockedPackage],
    links: &[ToolLink],
    leave_out: &[PathBuf],
    progress: &Progress,
) -> Result<PathBuf, DebError> {
    let mut key = KeyHasher::new("tree 2");
    for package in packages {
        key = key.field("package", package.sha256.as_bytes());
    }
    for link in links {
        key = key
            .field("link", link.path.as_os_str().as_encoded_bytes())
            .field("target", link.target.as_os_str().as_encoded_bytes());
    }
    for path in leave_out {
        key = key.field("leave-out", path.as_os_str().as_encoded_bytes());
    }
    let waiting = || progress.note(&format!("unpack {name}: another slipway is at it, waiting"));
    let claim = match store.entry(Area::Trees, &key.finish(), waiting)? {
        Entry::Ready(path) => return Ok(path),
        Entry::Vacant(claim) => claim,
    };
    let total = packages.iter().map(|package| package.size).sum();
    let task = progress.task("unpack", name, Amount::Bytes(total));
    let root = claim.directory().to_path_buf();
    let mut tree = Tree { root, leave_out, owners: BTreeMap::new(), listing: Listing::default() };
    for top in ["bin", "sbin", "lib", "lib64"] {
        tree.directory("usr-merge", &Path::new("/usr").join(top), 0o755)?;
        tree.link("usr-merge", &Path::new("/").join(top), &Path::new("usr").join(top))?;
    }
    for package in packages {
        task.message(&package.name);
        let blob = store.blob(&package.name, &package.sha256)?;
        walk(&blob, |entry| tree.add(&package.name, entry))?;
        task.advance(package.size);
    }
    for link in links {
        tree.link("the tool set", &link.path, &link.target)?;
    }
    let files = tree.owners.len();
    tree.listing.save(&tree.root).map_err(failed(name, "writing", Path::new(listing::NAME)))?;
    let path = claim.commit()?;
    task.finish(Outcome::Done(format!("{} packages, {files} files", packages.len())));
    Ok(path)
}

struct Tree<'a> {
    root: PathBuf,
    leave_out: &'a [PathBuf],
    /// Who holds each file or link, by its absolute path.
    owners: BTreeMap<PathBuf, String>,
    listing: Listing,
}

impl Tree<'_> {
    fn add(&mut self, package: &str, entry: Streamed<'_>) -> Result<(), DebError> {
        let left_out = self.leave_out.iter().any(|path| entry.path.starts_with(path));
        if left_out || entry.path == Path::new("/") {
            return Ok(());
        }
        match entry.kind {
            StreamedKind::Directory => self.directory(package, &entry.path, entry.mode),
            StreamedKind::Symlink(target) => self.link(package, &entry.path, &target),
            StreamedKind::File(content) => self.file(package, &entry.path, entry.mode, content),
            StreamedKind::Hardlink(target) => {
                let (place, existing) = (self.place(&entry.path), self.place(&target));
                self.owners.insert(entry.path.clone(), package.to_owned());
                fs::hard_link(existing, &place).map_err(failed(package, "linking", &entry.path))
            }
        }
    }

    fn place(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn directory(&self, package: &str, path: &Path, mode: u32) -> Result<(), DebError> {
        let place = self.place(path);
        // `/bin` and the like: a package's directory of that name is our link to /usr/bin.
        if place.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&place).map_err(failed(package, "creating", path))?;
        // Writable by us, or the next entry could not be made.
        fs::set_permissions(&place, Permissions::from_mode(mode & 0o777 | 0o700)).map_err(failed(
            package,
            "setting the mode of",
            path,
        ))
    }

    fn parent(&self, package: &str, path: &Path) -> Result<(), DebError> {
        match path.parent() {
            Some(parent) => self.directory(package, parent, 0o755),
            None => Ok(()),
        }
    }

    fn link(&mut self, package: &str, path: &Path, target: &Path) -> Result<(), DebError> {
        self.parent(package, path)?;
        let place = self.place(path);
        match fs::read_link(&place) {
            Ok(existing) if existing == target => return Ok(()),
            Ok(_) => return Err(self.clash(package, path)),
            Err(_) if place.symlink_metadata().is_ok() => return Err(self.clash(package, path)),
            Err(_) => {}
        }
        self.owners.insert(path.to_path_buf(), package.to_owned());
        self.listing.link(path, target);
        symlink(target, &place).map_err(failed(package, "linking", path))
    }

    fn file(
        &mut self,
        package: &str,
        path: &Path,
        mode: u32,
        content: &mut dyn Read,
    ) -> Result<(), DebError> {
        self.parent(package, path)?;
        let place = self.place(path);
        if place.symlink_metadata().is_ok() {
            return if same(&place, content).map_err(failed(package, "comparing", path))? {
                Ok(())
            } else {
                Err(self.clash(package, path))
            };
        }
        let file = File::create_new(&place).map_err(failed(package, "creating", path))?;
        let mut hashing = Hashing::new(&file);
        std::io::copy(content, &mut hashing).map_err(failed(package, "writing", path))?;
        self.listing.file(path, &hashing.digest());
        file.set_permissions(Permissions::from_mode(mode & 0o777)).map_err(failed(
            package,
            "setting the mode of",
            path,
        ))?;
        self.owners.insert(path.to_path_buf(), package.to_owned());
        Ok(())
    }

    fn clash(&self, package: &str, path: &Path) -> DebError {
        let first = self.owners.get(path).map_or("usr-merge", String::as_str).to_owned();
        DebError::Clash { path: path.to_path_buf(), first, second: package.to_owned() }
    }
}

/// Whether a file has this content.
fn same(place: &Path, content: &mut dyn Read) -> std::io::Result<bool> {
    let mut expected = Vec::new();
    content.read_to_end(&mut expected)?;
    Ok(fs::read(place)? == expected)
}

fn failed(package: &str, action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DebError {
    let (package, path) = (package.to_owned(), path.to_path_buf());
    move |source| match crate::store::StoreError::io(action, &path)(source) {
        full @ crate::store::StoreError::DiskFull { .. } => DebError::Store(full),
        crate::store::StoreError::Io { source, .. } => DebError::Unpack { package, action, path, source },
        other => DebError::Store(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::archive::tests::package;
    use crate::deb::listing::TreeHealth;
    use crate::profile::Suite;

    struct Fixture {
        _directory: tempfile::TempDir,
        store: Store,
        packages: Vec<LockedPackage>,
    }

    fn fixture(packages: &[(&str, &[(&str, &str)])]) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let packages = packages
            .iter()
            .map(|(name, files)| {
                let deb = directory.path().join(name);
                package(&deb, files);
                let bytes = fs::read(&deb).unwrap();
                LockedPackage {
                    name: (*name).to_owned(),
                    version: "1".to_owned(),
                    architecture: "all".to_owned(),
                    suite: Suite::default(),
                    source: format!("{name} 1"),
                    path: format!("pool/{name}.deb"),
                    size: u64::try_from(bytes.len()).unwrap(),
                    sha256: store.keep(&bytes).unwrap(),
                }
            })
            .collect();
        Fixture { _directory: directory, store, packages }
    }

    impl Fixture {
        fn unpack(&self, links: &[ToolLink], leave_out: &[PathBuf]) -> Result<PathBuf, DebError> {
            let packages: Vec<_> = self.packages.iter().collect();
            unpack_packages(&self.store, "test", &packages, links, leave_out, &Progress::silent())
        }
    }

    #[test]
    fn a_closure_becomes_one_usr_merged_root_with_its_links() {
        let fixture = fixture(&[
            ("base", &[("./bin", "->usr/bin"), ("./usr/share/doc/base", "text")]),
            ("gawk", &[("./bin/gawk", "awk")]),
        ]);
        let awk = ToolLink { path: "/usr/bin/awk".into(), target: "gawk".into() };
        let root = fixture.unpack(&[awk], &["/usr/share/doc".into()]).unwrap();
        assert_eq!(fs::read_to_string(root.join("bin/awk")).unwrap(), "awk");
        assert_eq!(fs::read_link(root.join("lib64")).unwrap(), Path::new("usr/lib64"));
        assert!(!root.join("usr/share/doc").exists());
    }

    #[test]
    fn a_tree_that_was_changed_is_noticed() {
        let fixture = fixture(&[("one", &[("./usr/x", "1"), ("./usr/y", "->x")])]);
        let root = fixture.unpack(&[], &[]).unwrap();
        assert_eq!(listing::verify_tree(&root).unwrap(), TreeHealth::Sound);
        fs::write(root.join("usr/x"), "2").unwrap();
        let health = listing::verify_tree(&root).unwrap();
        assert!(matches!(&health, TreeHealth::Damaged(what) if what.contains("/usr/x")), "{health:?}");
    }

    #[test]
    fn two_packages_with_different_files_of_one_name_are_refused() {
        let fixture = fixture(&[("one", &[("./usr/x", "1")]), ("two", &[("./usr/x", "2")])]);
        let error = fixture.unpack(&[], &[]).unwrap_err();
        assert!(matches!(&error, DebError::Clash { first, second, .. } if first == "one" && second == "two"));
    }

    #[test]
    fn two_packages_may_hold_the_same_file() {
        let fixture = fixture(&[("one", &[("./usr/x", "1")]), ("two", &[("./usr/x", "1")])]);
        fixture.unpack(&[], &[]).unwrap();
    }

    #[test]
    fn a_package_that_is_not_in_the_store_says_to_fetch() {
        let fixture = fixture(&[("one", &[("./usr/x", "1")])]);
        fs::remove_file(fixture.store.blob_path(&fixture.packages[0].sha256)).unwrap();
        let error = fixture.unpack(&[], &[]).unwrap_err().to_string();
        assert!(error.contains("one") && error.contains("slipway fetch"), "{error}");
    }
}
