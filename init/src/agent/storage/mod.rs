//! Agent storage: finds the machine's disk, makes STATE and DATA on it if it is blank, mounts them.
//!
//! `disk` decides; here it is looked at and done, `making` writes to a blank disk, `format`
//! runs e2fsprogs, `machine_id` is the first thing that is kept. Every step can be cut off by
//! a power failure: the next start sees how far it came and goes on from there.

mod format;
mod machine_id;
mod making;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_config::service::{Table, TableError as TableDecodeError};
use node_sys::{block, mount};

use super::files::{self, FileError};
use super::notify::Notifier;
use super::paths;
use crate::boot::directories;
use crate::disk::facts;
use crate::disk::layout::{self, Disk, Step};
use crate::disk::table::{DATA_LABEL, STATE_LABEL, TableError};
use crate::disk::volume::{Making, Verdict};

/// Between two looks at the disks while there is none to use.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The services' table is small.
const TABLE_MAX: u64 = 1024 * 1024;
/// How long the kernel may take to show new partitions.
const PARTITIONS_WITHIN: Duration = Duration::from_secs(10);
/// Directories that services expect on a DATA that is new.
const DATA_DIRECTORIES: [&str; 6] =
    ["/var/cache", "/var/lib", "/var/log", "/var/run", "/var/spool", "/var/tmp"];

/// What could not be done to which device.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A call on a device.
    #[error("{doing} {}: {source}", path.display())]
    Device {
        /// A gerund.
        doing: &'static str,
        /// The device or mount point.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The partition table.
    #[error("partitioning {}: {source}", path.display())]
    Partition {
        /// The disk.
        path: PathBuf,
        /// Why not.
        source: TableError,
    },
    /// A tool of e2fsprogs refused.
    #[error("{program} on {}: {status}: {said}", path.display())]
    Tool {
        /// Which one.
        program: &'static str,
        /// The device.
        path: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its last words.
        said: String,
    },
    /// The partitions that should be there are not.
    #[error("{} shows no partition {label} {} s after its table was written", path.display(), PARTITIONS_WITHIN.as_secs())]
    NoPartition {
        /// The disk.
        path: PathBuf,
        /// The partition.
        label: &'static str,
    },
    /// A volume of ours with somebody else's data in it.
    #[error(
        "{} should be {label} and holds {what}: it is left alone; if that is not needed any more, zero its first 4 MiB \
         on another machine (blkdiscard --zeroout, or dd)",
        path.display()
    )]
    Occupied {
        /// The partition.
        path: PathBuf,
        /// What it should be.
        label: &'static str,
        /// What it is.
        what: String,
    },
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// The image's services.
    #[error("reading the services' table: {0}")]
    Table(#[from] TableDecodeError),
}

fn device(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_owned();
    move |source| StorageError::Device { doing, path, source }
}

/// Runs the agent: returns once STATE and DATA are mounted.
///
/// # Errors
/// [`StorageError`]; PID 1 starts the agent again.
pub fn run() -> Result<(), StorageError> {
    let mut notifier = Notifier::from_environment();
    let disk = loop {
        match layout::step(&observe()) {
            Step::Use(disk) => break disk,
            Step::Make(disk) => {
                tracing::info!(disk = %disk.display(), "making STATE and DATA on a blank disk");
                making::begin(&disk)?;
                break disk;
            }
            Step::Finish(disk, claim, stage) => {
                tracing::info!(disk = %disk.display(), ?stage, "going on with a disk that was begun");
                making::carry_out(&disk, &claim, stage)?;
                break disk;
            }
            Step::Wait(obstacle) => {
                notifier.problem(&obstacle.to_string());
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    };
    let no_suid = mount::Options { no_suid: true, no_dev: true, ..mount::Options::default() };
    bring_up(&disk, STATE_LABEL, Path::new("/state"), mount::Options::DATA, 0o711)?;
    bring_up(&disk, DATA_LABEL, Path::new("/var"), no_suid, 0o755)?;
    for directory in DATA_DIRECTORIES {
        files::make_directory(Path::new(directory), 0o755)?;
    }
    services_directories()?;
    machine_id::settle()
}

/// What services have of their own on STATE and DATA.
fn services_directories() -> Result<(), StorageError> {
    let table = Table::decode(&files::read(Path::new(paths::SERVICES), TABLE_MAX)?)?;
    for directory in directories::below(&table, &["/state/", "/var/"]) {
        directories::make(&directory).map_err(device("making", &directory.path))?;
    }
    Ok(())
}

/// Every disk that could be the machine's, with what it holds.
fn observe() -> Vec<Disk> {
    let mut disks = Vec::new();
    let Ok(entries) = fs::read_dir("/sys/block") else { return disks };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let virtual_disk =
            ["dm-", "loop", "ram", "zram", "sr", "fd"].iter().any(|kind| name.starts_with(kind));
        let read_only = fs::read_to_string(entry.path().join("ro")).is_ok_and(|text| text.trim() == "1");
        if virtual_disk || read_only {
            continue;
        }
        let path = Path::new("/dev").join(&*name);
        match look(&path) {
            Ok(Some(disk)) => disks.push(disk),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "leaving a disk out that can't be read"),
        }
    }
    disks.sort_by(|a, b| a.path.cmp(&b.path));
    disks
}

/// What one disk holds; none when there is no medium in it.
fn look(path: &Path) -> Result<Option<Disk>, StorageError> {
    let mut file = File::open(path).map_err(device("opening", path))?;
    let bytes = block::size(&file).map_err(device("measuring", path))?;
    if bytes == 0 {
        return Ok(None);
    }
    let content = facts::read(&mut file, bytes).map_err(device("reading", path))?;
    Ok(Some(Disk { path: path.to_owned(), bytes, content }))
}

/// Checks or formats the volume `label` as its content asks for, and mounts it.
fn bring_up(
    disk: &Path,
    label: &'static str,
    target: &Path,
    options: mount::Options,
    mode: u32,
) -> Result<(), StorageError> {
    let volume = find_partition(disk, label)?;
    match format::judge(&volume, label, Making::Done)? {
        Verdict::Keep => format::check(&volume)?,
        // A disk that was partitioned by hand, with our names.
        Verdict::Format => format::format(&volume, label)?,
        Verdict::Refuse(what) => return Err(StorageError::Occupied { path: volume, label, what }),
    }
    mount::mount(&volume.to_string_lossy(), target, "ext4", options, "")
        .map_err(device("mounting", &volume))?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(target, permissions).map_err(device("setting the mode of", target))
}

/// The node of the partition `label` of `disk`; waits a bounded time for the kernel to show it.
fn find_partition(disk: &Path, label: &'static str) -> Result<PathBuf, StorageError> {
    let name = disk.file_name().unwrap_or_default();
    let directory = Path::new("/sys/block").join(name);
    let deadline = std::time::Instant::now().checked_add(PARTITIONS_WITHIN);
    loop {
        let entries = fs::read_dir(&directory).map_err(device("listing", &directory))?;
        for entry in entries.flatten() {
            let uevent = fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
            if uevent.lines().any(|line| line.strip_prefix("PARTNAME=") == Some(label)) {
                return Ok(Path::new("/dev").join(entry.file_name()));
            }
        }
        if deadline.is_none_or(|deadline| std::time::Instant::now() > deadline) {
            return Err(StorageError::NoPartition { path: disk.to_owned(), label });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Marks random bytes as a random (version 4) GUID in GPT's mixed byte order.
fn version_4(mut bytes: [u8; 16]) -> [u8; 16] {
    let [_, _, _, _, _, _, _, version, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_guids_say_that_they_are_random() {
        let guid = version_4([0xff; 16]);
        assert_eq!((guid[7], guid[8]), (0x4f, 0xbf));
    }
}
