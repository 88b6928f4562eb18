//! Device mapper: one read-only target, made by ioctl on /dev/mapper/control.
//!
//! The structure and the numbers are those of the kernel's `linux/dm-ioctl.h`, version 4.
//! Which target and which table is the caller's business; so is finding the node: devtmpfs
//! makes it as `/dev/dm-MINOR`.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The control device's only ioctl type.
const DM_IOCTL: u64 = 0xfd;
const DEV_CREATE: u64 = 3;
const DEV_REMOVE: u64 = 4;
const DEV_SUSPEND: u64 = 6;
const TABLE_LOAD: u64 = 9;
/// The table, or the device, can't be written.
const READ_ONLY: u32 = 1;
/// Bytes of `struct dm_ioctl`.
const HEADER: usize = 312;
/// Bytes of `struct dm_target_spec`.
const TARGET: usize = 40;
/// Longest target parameters; a verity line takes 400.
const PARAMETERS: usize = 2048;

/// A mapped device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// The `N` of `/dev/dm-N`.
    pub minor: u32,
}

/// What a device maps.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its kind: `verity`.
    pub kind: &'a str,
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// The kind's own parameters.
    pub parameters: &'a str,
}

/// Makes the read-only device `name` out of `target` and starts it.
///
/// # Errors
/// The kernel's; a device half made is removed again.
pub fn create_read_only(name: &str, target: Target<'_>) -> io::Result<Device> {
    let control = File::options().read(true).write(true).open("/dev/mapper/control")?;
    let created = call(&control, DEV_CREATE, name, 0, None)?;
    let started = call(&control, TABLE_LOAD, name, READ_ONLY, Some(target))
        // Without the suspend flag, the suspend call resumes: the table goes live.
        .and_then(|_| call(&control, DEV_SUSPEND, name, 0, None));
    if let Err(error) = started {
        // The first error is the one to tell; a device that stays is only a name taken.
        let _ = call(&control, DEV_REMOVE, name, 0, None);
        return Err(error);
    }
    Ok(created)
}

fn call(
    control: &File,
    number: u64,
    name: &str,
    flags: u32,
    target: Option<Target<'_>>,
) -> io::Result<Device> {
    let mut buffer = [0_u8; HEADER + TARGET + PARAMETERS];
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let mut put = |at: usize, bytes: &[u8]| -> io::Result<()> {
        let end = at.checked_add(bytes.len()).ok_or_else(invalid)?;
        buffer.get_mut(at..end).ok_or_else(invalid)?.copy_from_slice(bytes);
        Ok(())
    };
    put(0, &4_u32.to_ne_bytes())?;
    put(12, &u32::try_from(HEADER + TARGET + PARAMETERS).map_err(|_| invalid())?.to_ne_bytes())?;
    put(16, &u32::try_from(HEADER).map_err(|_| invalid())?.to_ne_bytes())?;
    put(20, &u32::from(target.is_some()).to_ne_bytes())?;
    put(28, &flags.to_ne_bytes())?;
    if name.len() > 127 {
        return Err(invalid());
    }
    put(48, name.as_bytes())?;
    if let Some(target) = target {
        if target.kind.len() > 15 || target.parameters.len() >= PARAMETERS {
            return Err(invalid());
        }
        put(HEADER + 8, &target.sectors.to_ne_bytes())?;
        put(HEADER + 24, target.kind.as_bytes())?;
        put(HEADER + TARGET, target.parameters.as_bytes())?;
    }
    // _IOWR(0xfd, number, struct dm_ioctl)
    let request = (3_u64 << 30) | ((HEADER as u64) << 16) | (DM_IOCTL << 8) | number;
    // SAFETY: the kernel reads and writes at most `data_size` bytes from the pointer, and
    // `data_size` is this buffer's length; the descriptor is open for the call's duration.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), request, buffer.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut dev = [0_u8; 8];
    dev.copy_from_slice(buffer.get(40..48).ok_or_else(invalid)?);
    // The kernel's huge encoding of a device number: the minor's low byte, and its rest above the major.
    let dev = u64::from_ne_bytes(dev);
    let minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
    Ok(Device { minor: u32::try_from(minor).map_err(|_| invalid())? })
}
