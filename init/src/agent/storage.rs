//! Agent storage: finds the machine's disk, makes STATE and DATA on it if it is blank, mounts them.
//!
//! `disk::layout` decides; here it is looked at and done. Every step can be cut off by a
//! power failure and is simply done again: a partition counts as formatted only once its
//! file system has its label, which mke2fs writes last.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use node_sys::{block, host, mount};

use super::files::{self, FileError};
use super::notify::Notifier;
use super::paths;
use crate::disk::facts::{self, DATA_LABEL, STATE_LABEL};
use crate::disk::layout::{self, Disk, PartitionError, Step};

/// Between two looks at the disks while there is none to use.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long the kernel may take to show new partitions.
const PARTITIONS_WITHIN: Duration = Duration::from_secs(10);
/// Directories that services expect on a DATA that is new.
const DATA_DIRECTORIES: [&str; 6] =
    ["/var/cache", "/var/lib", "/var/log", "/var/run", "/var/spool", "/var/tmp"];
/// Where the machine's id is kept.
const MACHINE_ID: &str = "/state/machine-id";

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
        source: PartitionError,
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
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
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
            Step::Partition(disk) => {
                tracing::info!(disk = %disk.display(), "partitioning a blank disk");
                partition(&disk)?;
                break disk;
            }
            Step::Wait(obstacle) => {
                notifier.problem(&obstacle.to_string());
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    };
    let no_suid = mount::Options { no_suid: true, no_dev: true, ..mount::Options::default() };
    bring_up(&disk, STATE_LABEL, Path::new("/state"), mount::Options::DATA, 0o700)?;
    bring_up(&disk, DATA_LABEL, Path::new("/var"), no_suid, 0o755)?;
    for directory in DATA_DIRECTORIES {
        files::make_directory(Path::new(directory), 0o755)?;
    }
    machine_id()
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

fn partition(disk: &Path) -> Result<(), StorageError> {
    let mut file = File::options().read(true).write(true).open(disk).map_err(device("opening", disk))?;
    let sector = u64::from(block::sector_size(&file).map_err(device("measuring", disk))?);
    let guid = || -> Result<[u8; 16], StorageError> {
        Ok(version_4(host::random().map_err(device("drawing a GUID for", disk))?))
    };
    let guids = [guid()?, guid()?, guid()?];
    layout::partition(&mut file, sector, guids)
        .map_err(|source| StorageError::Partition { path: disk.to_owned(), source })?;
    file.sync_all().map_err(device("syncing", disk))?;
    block::reread_partitions(&file).map_err(device("re-reading the partitions of", disk))
}

/// Marks random bytes as a random (version 4) GUID in GPT's mixed byte order.
fn version_4(mut bytes: [u8; 16]) -> [u8; 16] {
    let [_, _, _, _, _, _, _, version, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    bytes
}

/// Formats the volume `label` if it has never been, checks it otherwise, and mounts it.
fn bring_up(
    disk: &Path,
    label: &'static str,
    target: &Path,
    options: mount::Options,
    mode: u32,
) -> Result<(), StorageError> {
    let volume = find_partition(disk, label)?;
    if is_formatted(&volume, label)? {
        check(&volume)?;
    } else {
        tracing::info!(volume = %volume.display(), label, "formatting");
        format(&volume, label)?;
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

fn is_formatted(volume: &Path, label: &str) -> Result<bool, StorageError> {
    use std::io::Read;
    let mut file = File::open(volume).map_err(device("opening", volume))?;
    let mut head = [0; 2048];
    file.read_exact(&mut head).map_err(device("reading", volume))?;
    Ok(facts::ext_label(&head).as_deref() == Some(label))
}

fn format(volume: &Path, label: &str) -> Result<(), StorageError> {
    // Nothing is discarded (slow on sparse files), tables are zeroed later by the kernel.
    let extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
    tool("/usr/sbin/mke2fs", &["-q", "-F", "-t", "ext4", "-m", "0", "-L", label, "-E", extended], volume, 0)
}

fn check(volume: &Path) -> Result<(), StorageError> {
    // 1: errors were found and put right.
    tool("/usr/sbin/e2fsck", &["-p"], volume, 1)
}

/// Runs a tool of e2fsprogs; it may end with up to `worst`.
fn tool(program: &'static str, arguments: &[&str], volume: &Path, worst: i32) -> Result<(), StorageError> {
    let output = Command::new(program)
        .args(arguments)
        .arg(volume)
        .stdin(Stdio::null())
        .output()
        .map_err(device(program, volume))?;
    if output.status.code().is_some_and(|code| code <= worst) {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).lines().rev().take(3).collect::<Vec<_>>().join("; ");
    Err(StorageError::Tool { program, path: volume.to_owned(), status: output.status, said })
}

/// The machine's id: made once, kept in STATE, shown in /etc.
fn machine_id() -> Result<(), StorageError> {
    let path = Path::new(MACHINE_ID);
    let text = match files::read_text(path, 64) {
        Ok(text) if is_machine_id(text.trim_end()) => text,
        Ok(_) => new_machine_id(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => new_machine_id(path)?,
        Err(error) => return Err(error.into()),
    };
    files::replace(&Path::new(paths::ETC).join("machine-id"), text.as_bytes(), 0o444)?;
    Ok(())
}

fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn new_machine_id(path: &Path) -> Result<String, StorageError> {
    let bytes = version_4(host::random().map_err(device("drawing", path))?);
    let text = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    files::replace(path, text.as_bytes(), 0o444)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_32_hex_digits() {
        assert!(is_machine_id("0123456789abcdef0123456789abcdef"));
        assert!(!is_machine_id("0123456789ABCDEF0123456789abcdef"));
        assert!(!is_machine_id(""));
    }

    #[test]
    fn drawn_guids_say_that_they_are_random() {
        let guid = version_4([0xff; 16]);
        assert_eq!((guid[7], guid[8]), (0x4f, 0xbf));
    }
}
