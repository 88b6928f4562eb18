//! A machine's config disk: a small ext4 image that holds the signed config, made without root.
//!
//! The machine finds it by its label and reads it without mounting it.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use mkext4::sink::FileSink;
use mkext4::{FsBuilder, Meta, Options, ROOT};

/// What the machine looks for.
const LABEL: &str = "slipway-config";
/// The one file on it.
const FILE: &str = "machine.slipway";
/// Small, but with room for the journal that ext4 wants; sparse, so it takes 100 KiB on the host.
const SIZE: u64 = 16 << 20;

/// Writes the disk with `envelope`, a signed machine config, on it.
///
/// # Errors
/// The image can't be written.
pub fn write(path: &Path, envelope: &[u8]) -> Result<()> {
    build(path, envelope).with_context(|| format!("making the config disk {}", path.display()))
}

fn build(path: &Path, envelope: &[u8]) -> Result<()> {
    // Nothing on it depends on who makes it or when: the same config gives the same disk.
    let mut options = Options::new(SIZE, *b"slipway-config\0\0", 0);
    options.label = Some(LABEL.to_owned());
    options.reserved_percent = 0;
    let mut builder = FsBuilder::new(options)?;
    let length = u64::try_from(envelope.len())?;
    let file = builder.file(ROOT, FILE, Meta::new(0o400, 0, 0, (0, 0)), length)?;
    let layout = builder.seal()?;
    let mut sink = FileSink::create(path, layout.image_len())?;
    let mut writer = layout.writer(&mut sink)?;
    if length > 0 {
        writer.fill(file, &mut Cursor::new(envelope))?;
    }
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_machine_finds_its_config_on_the_disk_by_the_label() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.img");
        let envelope = vec![b'x'; 20_000];
        write(&path, &envelope).unwrap();
        let disk = ext4_view::Ext4::load(Box::new(std::fs::read(&path).unwrap())).unwrap();
        assert_eq!(disk.label().to_str(), Ok(LABEL));
        assert_eq!(disk.read("/machine.slipway").unwrap(), envelope);
    }

    #[test]
    fn the_file_system_is_clean_by_e2fsck() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.img");
        write(&path, b"slipway-config 1\n").unwrap();
        match Command::new("/sbin/e2fsck").arg("-fn").arg(&path).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => _ = writeln!(std::io::stdout(), "\nSKIPPED: no e2fsck here: {error}"),
        }
    }

    #[test]
    fn the_same_config_gives_the_same_disk() {
        let directory = tempfile::tempdir().unwrap();
        let disks = ["a", "b"].map(|name| {
            let path = directory.path().join(name);
            write(&path, b"config").unwrap();
            std::fs::read(path).unwrap()
        });
        assert!(disks[0] == disks[1]);
    }
}
