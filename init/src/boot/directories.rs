//! Directories that services have of their own: made, and given to their users.
//!
//! PID 1 does it for /run and /sys before the first service, the storage agent for /state and /var
//! once they are mounted. Nothing else runs as those users at that moment, so there is nobody to put
//! a link in a directory's place; links are not followed all the same.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use machine_config::service::{DirectoryMode, Table};

/// The kernel's own: nothing is made there.
const KERNELS: &str = "/sys/";

/// A directory, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where.
    pub path: PathBuf,
    /// User and group.
    pub user: u32,
    /// Who else may look into it.
    pub mode: DirectoryMode,
}

/// Those of `table` that lie below one of `roots`, each with a slash at its end.
#[must_use]
pub fn below(table: &Table, roots: &[&str]) -> Vec<Directory> {
    let mut found = Vec::new();
    for unit in &table.units {
        let here =
            unit.directories.iter().filter(|(path, _)| roots.iter().any(|root| path.starts_with(root)));
        found.extend(here.map(|(path, mode)| Directory {
            path: path.into(),
            user: unit.user.unwrap_or(0),
            mode: *mode,
        }));
    }
    found
}

/// Makes a directory with the ones around it, which are root's and everybody may look into. One that was another's
/// is handed over with all that is in it: an earlier image may have had other users.
///
/// # Errors
/// Those of mkdir(2), chown(2) and chmod(2), and a link or a file that stands in its place.
pub fn make(directory: &Directory) -> io::Result<()> {
    let Directory { path, user, mode } = directory;
    if path.starts_with(KERNELS) {
        if !path.exists() {
            return Ok(());
        }
    } else if let Some(around) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(around)?;
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if (found.uid(), found.gid()) != (*user, *user) {
        if !path.starts_with(KERNELS) {
            hand_over_contents(path, *user)?;
        }
        // Last: as long as it is not theirs, all of it is handed over again by the next attempt.
        lchown(path, Some(*user), Some(*user))?;
    }
    if found.mode() & 0o7777 != mode.bits() {
        fs::set_permissions(path, Permissions::from_mode(mode.bits()))?;
    }
    Ok(())
}

fn hand_over_contents(directory: &Path, user: u32) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            hand_over_contents(&entry.path(), user)?;
        }
        lchown(entry.path(), Some(user), Some(user))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn own() -> u32 {
        fs::metadata("/proc/self").unwrap().uid()
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_directory_is_made_with_its_mode_and_those_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib/thing");
        let wanted = Directory { path: path.clone(), user: own(), mode: DirectoryMode::Private };
        make(&wanted).unwrap();
        assert_eq!((mode_of(&path), mode_of(path.parent().unwrap())), (0o700, 0o755));
        make(&Directory { mode: DirectoryMode::Readable, ..wanted }).unwrap();
        assert_eq!(mode_of(&path), 0o755);
    }

    #[test]
    fn what_an_earlier_image_left_as_anothers_is_handed_over_whole() {
        if own() != 0 {
            let _ = writeln!(std::io::stdout(), "\nSKIPPED: not root, and nothing can be given away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd");
        fs::create_dir_all(path.join("member/wal")).unwrap();
        fs::write(path.join("member/wal/0.wal"), "x").unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        symlink(dir.path().join("secret"), path.join("link")).unwrap();
        make(&Directory { path: path.clone(), user: 913, mode: DirectoryMode::Private }).unwrap();
        for part in ["", "member", "member/wal", "member/wal/0.wal", "link"] {
            let found = fs::symlink_metadata(path.join(part)).unwrap();
            assert_eq!((found.uid(), found.gid()), (913, 913), "{part}");
        }
        assert_eq!(
            fs::metadata(dir.path().join("secret")).unwrap().uid(),
            0,
            "what a link names is not meant"
        );
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thing");
        symlink("/etc", &path).unwrap();
        let error = make(&Directory { path, user: own(), mode: DirectoryMode::Private }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
