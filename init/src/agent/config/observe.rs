//! What can be seen of configs: disks, the store, the image's keys, the NICs.
//!
//! Reading only, every read with a limit, and no judgement: `choice` has that. A disk is
//! never mounted; its file system is read by a library without unsafe code.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ext4_view::Ext4;
use machine_config::admission::Binding;
use machine_config::{ClusterName, MachineName};
use serde::{Deserialize, Serialize};
use trust::envelope::{BadPublicKey, PublicKey};

use super::choice::{Candidate, Source};
use crate::agent::files::{self, FileError};

/// The label of a disk that carries a config.
const LABEL: &[u8; 16] = b"slipway-config\0\0";
/// The file on it.
const FILE: &str = "/machine.slipway";
/// The largest envelope: a few hundred machines' inventory.
pub(super) const ENVELOPE_MAX: u64 = 256 * 1024;
/// The largest of the small files: public keys, the binding.
const SMALL_MAX: u64 = 4 * 1024;
/// Where ext4's superblock is.
const SUPERBLOCK: u64 = 1024;

/// Who may sign, from `*.pub` files.
pub(super) fn trusted_keys(directory: &Path) -> Result<Vec<PublicKey>, KeysError> {
    let listing = |source| FileError::new("listing", directory, source);
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory).map_err(listing)? {
        let path = entry.map_err(listing)?.path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            let text = files::read_text(&path, SMALL_MAX)?;
            keys.push(
                PublicKey::parse(&text)
                    .map_err(|source| KeysError::Key { path: path.display().to_string(), source })?,
            );
        }
    }
    Ok(keys)
}

/// Why the image's keys are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not readable.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a key.
    #[error("reading {path}: {source}")]
    Key {
        /// The file.
        path: String,
        /// Why not.
        source: BadPublicKey,
    },
}

/// The config that was accepted last.
pub(super) fn stored(path: &Path) -> Option<Candidate> {
    match files::read(path, ENVELOPE_MAX) {
        Ok(bytes) => Some(Candidate { source: Source::Stored, bytes: Ok(bytes) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Candidate { source: Source::Stored, bytes: Err(error.to_string()) }),
    }
}

/// Every config on a labelled disk among the block devices that `class` (/sys/class/block)
/// lists and `dev` (/dev) has nodes for.
pub(super) fn on_disks(class: &Path, dev: &Path) -> Vec<Candidate> {
    let mut names: Vec<String> = match fs::read_dir(class) {
        Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect(),
        // Without block devices there is nothing to read; the complaint says what is missing.
        Err(_) => Vec::new(),
    };
    names.sort();
    names.iter().filter_map(|name| on_disk(&dev.join(name))).collect()
}

fn on_disk(device: &Path) -> Option<Candidate> {
    let file = File::open(device).ok()?;
    // Most devices are somebody else's, empty or gone: only the label makes one worth a word.
    if !is_labelled(&file) {
        return None;
    }
    Some(Candidate { source: Source::Disk(device.display().to_string()), bytes: read_envelope(file) })
}

/// Looks at the magic number and the volume name of an ext4 superblock.
fn is_labelled(file: &File) -> bool {
    let mut superblock = [0; 136];
    if file.read_exact_at(&mut superblock, SUPERBLOCK).is_err() {
        return false;
    }
    superblock.get(56..58) == Some(&[0x53, 0xEF]) && superblock.get(120..136) == Some(LABEL)
}

fn read_envelope(file: File) -> Result<Vec<u8>, String> {
    let fs = Ext4::load(Box::new(file)).map_err(|error| error.to_string())?;
    let found = fs.metadata(FILE).map_err(|error| format!("looking for {FILE}: {error}"))?;
    if found.len() > ENVELOPE_MAX {
        return Err(format!("{FILE} has {} bytes, {ENVELOPE_MAX} at most", found.len()));
    }
    fs.read(FILE).map_err(|error| format!("reading {FILE}: {error}"))
}

/// The MAC addresses of the NICs that `class` (/sys/class/net) lists.
pub(super) fn macs(class: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(class) else { return Vec::new() };
    let mut macs: Vec<String> = entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("address")).ok())
        .map(|mac| mac.trim().to_lowercase())
        .filter(|mac| !mac.is_empty() && mac != "00:00:00:00:00:00")
        .collect();
    macs.sort();
    macs.dedup();
    macs
}

/// The binding as it lies in STATE. It is kept beside the envelope, not read out of it:
/// it must hold even when the image no longer trusts the key that signed the envelope.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BindingFile {
    cluster: ClusterName,
    machine: MachineName,
    serial: u64,
}

/// Reads whom the machine is bound to; `None` on its first boot.
pub(super) fn binding(path: &Path) -> Result<Option<Binding>, BindingError> {
    match files::read_text(path, SMALL_MAX) {
        Ok(text) => {
            let read: BindingFile = toml::from_str(&text)
                .map_err(|source| BindingError::Parse { path: path.display().to_string(), source })?;
            Ok(Some(Binding { cluster: read.cluster, machine: read.machine, serial: read.serial }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes it down.
pub(super) fn bind(path: &Path, to: &Binding) -> Result<(), BindingError> {
    let file = BindingFile { cluster: to.cluster.clone(), machine: to.machine.clone(), serial: to.serial };
    files::replace(path, toml::to_string(&file)?.as_bytes(), 0o600)?;
    Ok(())
}

/// Why the binding is not to be had. Nothing is admitted then: a machine that forgot
/// whom it belongs to would take anybody's config.
#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    /// Not readable or writable.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not what it should be.
    #[error("reading {path}: {source}")]
    Parse {
        /// The file.
        path: String,
        /// Line and column.
        source: toml::de::Error,
    },
    /// Not expressible.
    #[error("writing down the binding: {0}")]
    Write(#[from] toml::ser::Error),
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Command;

    use super::*;

    /// An ext4 image with `label` and, if any, a `/machine.slipway`, made by mke2fs;
    /// `None` where that is not installed.
    fn image(dir: &Path, label: &str, envelope: Option<&[u8]>) -> Option<()> {
        let tree = dir.join("tree");
        fs::create_dir_all(&tree).unwrap();
        if let Some(envelope) = envelope {
            fs::write(tree.join("machine.slipway"), envelope).unwrap();
        }
        let made = Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-L", label, "-d"])
            .arg(&tree)
            .arg(dir.join("disk"))
            .arg("1M")
            .status();
        match made {
            Ok(status) => {
                assert!(status.success());
                Some(())
            }
            Err(_) => {
                let _ = writeln!(std::io::stdout(), "\nSKIPPED: mke2fs is not installed");
                None
            }
        }
    }

    fn found(dir: &Path) -> Vec<Candidate> {
        let class = dir.join("class");
        fs::create_dir_all(class.join("disk")).unwrap();
        fs::create_dir_all(class.join("gone")).unwrap();
        on_disks(&class, dir)
    }

    #[test]
    fn a_labelled_disk_offers_its_config() {
        let dir = tempfile::tempdir().unwrap();
        if image(dir.path(), "slipway-config", Some(b"envelope")).is_none() {
            return;
        }
        let candidates = found(dir.path());
        assert_eq!(candidates.len(), 1);
        assert_eq!(candidates[0].bytes.as_deref(), Ok(&b"envelope"[..]));
    }

    #[test]
    fn a_disk_with_another_label_is_not_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        if image(dir.path(), "slipway-data", Some(b"envelope")).is_some() {
            assert!(found(dir.path()).is_empty());
        }
    }

    #[test]
    fn a_labelled_disk_without_the_file_or_with_a_huge_one_says_so() {
        let dir = tempfile::tempdir().unwrap();
        if image(dir.path(), "slipway-config", None).is_none() {
            return;
        }
        assert!(found(dir.path())[0].bytes.as_ref().unwrap_err().contains("/machine.slipway"));
        let huge = vec![b'x'; 300 * 1024];
        image(dir.path(), "slipway-config", Some(&huge));
        assert!(found(dir.path())[0].bytes.as_ref().unwrap_err().contains("262144 at most"));
    }

    #[test]
    fn a_damaged_disk_is_an_error_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        if image(dir.path(), "slipway-config", Some(b"envelope")).is_none() {
            return;
        }
        let path = dir.path().join("disk");
        let good = fs::read(&path).unwrap();
        for at in (1024..64 * 1024).step_by(97) {
            let mut bad = good.clone();
            bad[at] ^= 0xFF;
            fs::write(&path, bad).unwrap();
            // Whatever it finds: it comes back, and what it offers is small.
            for candidate in found(dir.path()) {
                assert!(candidate.bytes.map_or(0, |bytes| bytes.len()) <= 256 * 1024);
            }
        }
    }

    #[test]
    fn a_binding_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("binding.toml");
        assert!(binding(&path).unwrap().is_none());
        let to = Binding { cluster: "demo".parse().unwrap(), machine: "w1".parse().unwrap(), serial: 7 };
        bind(&path, &to).unwrap();
        assert_eq!(binding(&path).unwrap(), Some(to));
        fs::write(&path, "cluster = \"demo\"").unwrap();
        assert!(binding(&path).is_err());
    }

    #[test]
    fn keys_are_read_and_other_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("README"), "not a key").unwrap();
        fs::write(dir.path().join("a.pub"), "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n")
            .unwrap();
        assert_eq!(trusted_keys(dir.path()).unwrap().len(), 1);
        fs::write(dir.path().join("b.pub"), "rubbish").unwrap();
        assert!(matches!(trusted_keys(dir.path()), Err(KeysError::Key { .. })));
    }
}
