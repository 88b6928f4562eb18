//! Block devices: their size, and telling the kernel that their partitions changed.
//!
//! Reading and writing them is std's `File`; what lies where is in `init::disk`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

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
}
