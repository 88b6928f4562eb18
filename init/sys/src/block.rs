//! Block devices: their size, whose partition is what, and telling the kernel that their partitions changed.
//!
//! Reading and writing them is std's `File`; what lies where is in `init::disk`.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{major, minor};

use crate::mount;

const BLKRRPART: u64 = 0x125f;
const BLKSSZGET: u64 = 0x1268;
const BLKGETSIZE64: u64 = 0x8008_1272;

/// Makes the kernel read the partition table again; EBUSY while a partition is in use.
///
/// # Errors
/// Those of ioctl(2).
pub fn reread_partitions(disk: &File) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument.
    checked(unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART as _) })
}

/// Bytes of a block device.
///
/// # Errors
/// Those of ioctl(2).
pub fn size(device: &File) -> io::Result<u64> {
    let mut bytes = 0_u64;
    // SAFETY: BLKGETSIZE64 writes one u64, which `bytes` is.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), BLKGETSIZE64 as _, &raw mut bytes) })?;
    Ok(bytes)
}

/// Bytes of a logical sector of a block device.
///
/// # Errors
/// Those of ioctl(2).
pub fn sector_size(device: &File) -> io::Result<u32> {
    let mut bytes = 0_i32;
    // SAFETY: BLKSSZGET writes one int, which `bytes` is.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), BLKSSZGET as _, &raw mut bytes) })?;
    u32::try_from(bytes).map_err(io::Error::other)
}

/// The number (`MAJOR:MINOR`) of the whole disk whose file system is mounted at `target`.
///
/// # Errors
/// If none is, or one that is on no disk; what is at fault is said.
pub fn disk_at(target: &Path) -> io::Result<String> {
    let find = || {
        if !mount::is_mount_point(target)? {
            return Err(io::Error::other("nothing is mounted there"));
        }
        let device = rustix::fs::stat(target)?.st_dev;
        disk_of(Path::new("/sys"), &format!("{}:{}", major(device), minor(device)))
    };
    find().map_err(|error| io::Error::new(error.kind(), format!("the disk at {}: {error}", target.display())))
}

fn disk_of(sys: &Path, device: &str) -> io::Result<String> {
    let device = sys.join("dev/block").join(device);
    // A partition's directory is in its disk's.
    let file = if device.join("partition").exists() { "../dev" } else { "dev" };
    Ok(fs::read_to_string(device.join(file))?.trim_end().to_owned())
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_block_device() {
        let file = File::open("/proc/self/exe").unwrap();
        assert_eq!(size(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert!(reread_partitions(&file).is_err());
        assert!(sector_size(&file).is_err());
    }

    #[test]
    fn a_partition_is_known_by_its_disk_and_memory_is_on_none() {
        let sys = tempfile::tempdir().unwrap();
        let partition = sys.path().join("devices/vda/vda4");
        fs::create_dir_all(&partition).unwrap();
        fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        for (number, at) in [("254:0", "devices/vda"), ("254:4", "devices/vda/vda4")] {
            fs::write(sys.path().join(at).join("dev"), format!("{number}\n")).unwrap();
            std::os::unix::fs::symlink(sys.path().join(at), sys.path().join("dev/block").join(number))
                .unwrap();
        }
        fs::write(partition.join("partition"), "4\n").unwrap();
        for number in ["254:0", "254:4"] {
            assert_eq!(disk_of(sys.path(), number).unwrap(), "254:0");
        }
        for (none, why) in [(Path::new("/proc"), "No such file"), (sys.path(), "nothing is mounted there")] {
            let error = disk_at(none).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the disk at {}: {why}", none.display())), "{error}");
        }
    }
}
