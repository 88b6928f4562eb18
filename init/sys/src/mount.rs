//! Mounting and unmounting, with the flags a machine uses under names.
//!
//! Which file systems go where is `init`'s business.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

/// How a file system is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Nothing can be written.
    pub read_only: bool,
    /// Set-uid bits count for nothing.
    pub no_suid: bool,
    /// Device nodes can't be opened.
    pub no_dev: bool,
    /// Programs can't be run.
    pub no_exec: bool,
}

impl Options {
    /// For data that nobody runs: nosuid, nodev, noexec.
    pub const DATA: Self = Self { read_only: false, no_suid: true, no_dev: true, no_exec: true };

    fn flags(self) -> MountFlags {
        let mut flags = MountFlags::empty();
        flags.set(MountFlags::RDONLY, self.read_only);
        flags.set(MountFlags::NOSUID, self.no_suid);
        flags.set(MountFlags::NODEV, self.no_dev);
        flags.set(MountFlags::NOEXEC, self.no_exec);
        flags
    }
}

/// Mounts `source` of type `kind` on `target`; `data` is the file system's own options.
///
/// # Errors
/// The kernel's.
pub fn mount(source: &str, target: &Path, kind: &str, options: Options, data: &str) -> io::Result<()> {
    let data = CString::new(data)?;
    let data = (!data.is_empty()).then_some(data.as_c_str());
    rustix::mount::mount(source, target, kind, options.flags(), data)?;
    Ok(())
}

/// How large the file system at `target` is, and how much of it is left to those without privileges, in bytes.
///
/// # Errors
/// The kernel's.
pub fn space(target: &Path) -> io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(target)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok((bytes(found.f_blocks), bytes(found.f_bavail)))
}

/// Makes the file or directory `source` visible at `target` too.
///
/// # Errors
/// The kernel's.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    rustix::mount::mount_bind(source, target)?;
    Ok(())
}

/// Moves the mount at `source` to `target`.
///
/// # Errors
/// The kernel's.
pub fn move_to(source: &Path, target: &Path) -> io::Result<()> {
    rustix::mount::mount_move(source, target)?;
    Ok(())
}

/// Lets mounts below `target` be seen from mount namespaces made later, and back.
///
/// # Errors
/// The kernel's.
pub fn make_shared(target: &Path) -> io::Result<()> {
    rustix::mount::mount_change(target, MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    Ok(())
}

/// Turns the mount at `target` read-only, which flushes it.
///
/// # Errors
/// The kernel's: `EBUSY` while a file on it is open for writing.
pub fn remount_read_only(target: &Path) -> io::Result<()> {
    rustix::mount::mount_remount(target, MountFlags::RDONLY, "")?;
    Ok(())
}

/// Unmounts `target`.
///
/// # Errors
/// The kernel's: `EBUSY` while it is in use.
pub fn unmount(target: &Path) -> io::Result<()> {
    rustix::mount::unmount(target, UnmountFlags::empty())?;
    Ok(())
}

/// Takes `target` out of sight now, and unmounts it once nothing uses it.
///
/// # Errors
/// The kernel's.
pub fn detach(target: &Path) -> io::Result<()> {
    rustix::mount::unmount(target, UnmountFlags::DETACH)?;
    Ok(())
}

/// Makes `new_root` (a mount point, already the working directory's mount) the root.
///
/// # Errors
/// The kernel's.
pub fn switch_root(new_root: &Path) -> io::Result<()> {
    std::env::set_current_dir(new_root)?;
    rustix::mount::mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")
}

/// Whether a file system is mounted at `target`.
///
/// # Errors
/// The kernel's.
pub fn is_mount_point(target: &Path) -> io::Result<bool> {
    let found = rustix::fs::statx(
        rustix::fs::CWD,
        target,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        rustix::fs::StatxFlags::empty(),
    )?;
    Ok(found.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT))
}

/// Whether the file system at `path` is an initramfs' kind: tmpfs or ramfs.
///
/// # Errors
/// The kernel's.
pub fn is_in_memory(path: &Path) -> io::Result<bool> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    Ok([TMPFS, RAMFS].contains(&rustix::fs::statfs(path)?.f_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_not_taken_for_an_initramfs() {
        assert!(!is_in_memory(Path::new("/proc")).unwrap());
    }

    #[test]
    fn a_mount_point_is_told_from_what_lies_on_it() {
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(Path::new("/proc/self")).unwrap());
        assert!(is_mount_point(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn unmounting_what_is_not_there_keeps_the_errno() {
        let error = unmount(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
