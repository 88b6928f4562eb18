//! Where a machine's files are: its disks and its console, which are kept, and its sockets, which are not.
//!
//! Sockets are in a short directory of their own, since their paths are limited to 107 bytes and a lab's directory may
//! be anywhere. Memory is a third place: it has to be mappable as code for User-mode Linux.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::spec::{Disk, MachineSpec};
use crate::error::{Doing, Result, on};

/// The directories of one machine.
#[derive(Debug, Clone)]
pub struct Place {
    /// Disks and console; lives as long as the lab.
    pub kept: PathBuf,
    /// Sockets and whatever else a start leaves behind. Short, because the path of a socket is limited to 107 bytes.
    pub run: PathBuf,
    /// A directory for the machine's memory.
    pub memory: PathBuf,
}

impl Place {
    /// The console's log, of all starts.
    pub fn console(&self) -> PathBuf {
        self.kept.join("console.log")
    }

    /// Where the network card's cable ends.
    pub fn cable(&self) -> PathBuf {
        self.run.join("net")
    }

    /// A directory that is emptied before each start.
    pub fn scratch(&self) -> PathBuf {
        self.run.join("run")
    }

    /// Makes what must be there before the first start.
    pub fn prepare(&self, spec: &MachineSpec) -> Result<()> {
        fs::create_dir_all(&self.kept).doing(on("creating", &self.kept))?;
        fs::create_dir_all(&self.run).doing(on("creating", &self.run))?;
        spec.disks.iter().try_for_each(|disk| self.create(disk))
    }

    /// Removes what the last start left behind.
    pub fn clear_scratch(&self) -> Result<()> {
        let scratch = self.scratch();
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing(on("removing", &scratch))?
            }
            _ => {}
        }
        fs::create_dir_all(&scratch).doing(on("creating", &scratch))
    }

    /// The path of a disk's image.
    pub fn disk(&self, disk: &Disk) -> PathBuf {
        self.kept.join(&disk.path)
    }

    fn create(&self, disk: &Disk) -> Result<()> {
        let path = self.disk(disk);
        let Some(bytes) = disk.create_bytes else { return Ok(()) };
        if path.exists() {
            return Ok(());
        }
        let file = File::create(&path).doing(on("creating", &path))?;
        file.set_len(bytes).doing(on("sizing", &path))
    }
}

/// Where machines of `bytes` in all can keep their memory: a tmpfs that allows executable mappings, which User-mode
/// Linux needs, or else `fallback`.
pub fn memory_directory(bytes: u64, fallback: &Path) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let usable = rustix::fs::statvfs(shm).is_ok_and(|stat| {
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        !stat.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC) && free >= bytes
    });
    let writable = rustix::fs::access(shm, rustix::fs::Access::WRITE_OK).is_ok();
    if usable && writable { shm.to_owned() } else { fallback.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_exists_keeps_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { kept: dir.path().to_owned(), run: dir.path().join("run"), memory: "/tmp".into() };
        let disk = Disk { path: "data.img".into(), read_only: false, create_bytes: Some(1 << 20) };
        place.create(&disk).unwrap();
        assert_eq!(fs::metadata(place.disk(&disk)).unwrap().len(), 1 << 20);
        fs::write(place.disk(&disk), b"used").unwrap();
        place.create(&disk).unwrap();
        assert_eq!(fs::read(place.disk(&disk)).unwrap(), b"used");
    }

    #[test]
    fn memory_that_does_not_fit_goes_to_the_fallback() {
        assert_eq!(memory_directory(u64::MAX, Path::new("/fallback")), Path::new("/fallback"));
    }
}
