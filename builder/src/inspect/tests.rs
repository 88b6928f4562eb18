//! Made-up artifacts and disks, looked into.
//!
//! Disks are made here with mkext4 and gptman, byte by byte and without root. Slot images are
//! in `tests/images.rs`, with their judges. What is none of ours must be named as such, since `inspect` is also what people try on a file they cannot place.

use std::io::Write as _;

use image_format::manifest::Node;
use mkext4::sink::FileSink;
use mkext4::{FsBuilder, Meta, Options, ROOT};

use super::*;
use crate::emit::Stored;

const MIB: u64 = 1 << 20;

/// An ext4 image with a directory and a file in it.
fn ext4(path: &Path, label: &str) {
    let mut options = Options::new(16 * MIB, [7; 16], 0);
    options.label = Some(label.to_owned());
    let mut builder = FsBuilder::new(options).unwrap();
    let directory = builder.mkdir(ROOT, "config", Meta::new(0o700, 0, 0, (0, 0))).unwrap();
    let file = builder.file(directory, "serial", Meta::new(0o600, 0, 0, (0, 0)), 2).unwrap();
    let layout = builder.seal().unwrap();
    let mut sink = FileSink::create(path, layout.image_len()).unwrap();
    let mut writer = layout.writer(&mut sink).unwrap();
    writer.fill(file, &mut &b"7\n"[..]).unwrap();
    writer.finish().unwrap();
}

fn listed(files: &[Entry]) -> Vec<String> {
    files
        .iter()
        .filter(|entry| entry.path != "/lost+found")
        .map(|entry| format!("{:04o} {}", entry.mode, entry.path))
        .collect()
}

#[test]
fn a_config_disk_is_listed_without_being_mounted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.img");
    ext4(&path, "slipway-config");
    let Report::FileSystem(report) = look(&path).unwrap() else { panic!("taken for something else") };
    assert_eq!(report.label, "slipway-config");
    assert_eq!(listed(&report.files), ["0700 /config", "0600 /config/serial"]);
}

#[test]
fn a_machine_s_disk_is_listed_partition_by_partition() {
    let directory = tempfile::tempdir().unwrap();
    let (state, disk) = (directory.path().join("state.img"), directory.path().join("data.img"));
    ext4(&state, "slipway-state");
    let mut file = File::options().create_new(true).read(true).write(true).open(&disk).unwrap();
    file.set_len(64 * MIB).unwrap();
    let mut table = gptman::GPT::new_from(&mut file, 512, [9; 16]).unwrap();
    let first = MIB / 512;
    for (number, name, start, mib) in [(1, "slipway-state", first, 16), (2, "slipway-data", first * 17, 32)] {
        table[number] = gptman::GPTPartitionEntry {
            partition_type_guid: [1; 16],
            unique_partition_guid: [number as u8; 16],
            starting_lba: start,
            ending_lba: start + mib * MIB / 512 - 1,
            attribute_bits: 0,
            partition_name: name.into(),
        };
    }
    table.write_into(&mut file).unwrap();
    file.seek(SeekFrom::Start(MIB)).unwrap();
    file.write_all(&std::fs::read(&state).unwrap()).unwrap();

    let Report::Disk(report) = look(&disk).unwrap() else { panic!("taken for something else") };
    let names: Vec<&str> = report.partitions.iter().map(|partition| partition.name.as_str()).collect();
    assert_eq!(names, ["slipway-state", "slipway-data"]);
    let disk::Contents::Ext4(found) = &report.partitions[0].contents else { panic!("not ext4") };
    assert_eq!(listed(&found.files), ["0700 /config", "0600 /config/serial"]);
    assert!(matches!(report.partitions[1].contents, disk::Contents::Unreadable(_)), "blank, not ext4");
    assert!(report.text(false).contains("/config/serial"), "{}", report.text(false));
}

#[test]
fn an_initramfs_holds_stage_1_and_its_mount_points() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("initramfs.cpio.zst");
    let mut contents = Stored::default();
    let init = contents.add_bytes(b"init".to_vec(), 0o755);
    crate::emit::write_initramfs(&init, &contents, File::create(&path).unwrap()).unwrap();
    let Report::Initramfs(report) = look(&path).unwrap() else { panic!("taken for something else") };
    assert_eq!(
        listed(&report.files),
        ["0755 /dev", "0755 /init", "0755 /proc", "0755 /sys", "0755 /sysroot"]
    );
    assert!(report.compressed);
}

#[test]
fn the_same_init_gives_the_same_initramfs() {
    let mut contents = Stored::default();
    let init: Node = contents.add_bytes(vec![7; 3 << 20], 0o755);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    crate::emit::write_initramfs(&init, &contents, &mut one).unwrap();
    crate::emit::write_initramfs(&init, &contents, &mut other).unwrap();
    assert_eq!(one, other);
}

#[test]
fn what_is_none_of_ours_is_named_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("text");
    std::fs::write(&path, "just text").unwrap();
    let error = format!("{:#}", look(&path).unwrap_err());
    assert!(error.contains("no slot image"), "{error}");
    let error = format!("{:#}", look(directory.path()).unwrap_err());
    assert!(error.contains("artifacts.json"), "{error}");
}
