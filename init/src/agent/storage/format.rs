//! A volume's file system: looking at it, making it, checking it, by Debian's e2fsprogs.
//!
//! What is to become of a volume is `disk::volume`'s to decide from the bytes that are read
//! here. A tool's last words are in the error, since nobody can log in and try it by hand.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};

use node_sys::block;

use super::{StorageError, device};
use crate::disk::facts;
use crate::disk::volume::{self, Making, Verdict};

/// A superblock of ext4 ends here.
const SUPERBLOCK_END: usize = 2048;

/// What is to become of `volume`.
pub(super) fn judge(volume: &Path, label: &str, making: Making) -> Result<Verdict, StorageError> {
    let mut file = File::open(volume).map_err(device("opening", volume))?;
    let bytes = block::size(&file).map_err(device("measuring", volume))?;
    let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(facts::HEAD_BYTES);
    let mut head = vec![0; most.min(SUPERBLOCK_END)];
    file.read_exact(&mut head).map_err(device("reading", volume))?;
    if facts::ext(&head).is_none() {
        // No machine in use comes here: only then is it worth reading more.
        head = vec![0; most];
        file.seek(SeekFrom::Start(0)).map_err(device("reading", volume))?;
        file.read_exact(&mut head).map_err(device("reading", volume))?;
    }
    Ok(volume::judge(&head, label, making))
}

/// Makes the file system.
pub(super) fn format(volume: &Path, label: &str) -> Result<(), StorageError> {
    tracing::info!(volume = %volume.display(), label, "formatting");
    // Nothing is discarded (slow on sparse files), tables are zeroed later by the kernel.
    let extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
    tool("/usr/sbin/mke2fs", &["-q", "-F", "-t", "ext4", "-m", "0", "-L", label, "-E", extended], volume, 0)?;
    let file = File::options().write(true).open(volume).map_err(device("opening", volume))?;
    file.sync_all().map_err(device("syncing", volume))
}

/// Puts right what a power cut left.
pub(super) fn check(volume: &Path) -> Result<(), StorageError> {
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
