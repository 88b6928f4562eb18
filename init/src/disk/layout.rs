//! Which disk is the machine's, and where STATE and DATA lie on it.
//!
//! Pure: facts of all disks in, one step out. The rule that keeps other people's data safe:
//! only a disk that is ours already is used, only one that is blank is partitioned, and when
//! there is a choice to make nothing is done but to say so.

use std::fmt;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use super::facts::{Content, DATA_LABEL, STATE_LABEL};

/// STATE: configs, keys and identities take kilobytes.
const STATE_BYTES: u64 = 64 << 20;
/// The smallest disk that is worth having: STATE, and room for DATA.
pub const SMALLEST_DISK_BYTES: u64 = 128 << 20;
/// The partition type "Linux filesystem data", 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as on disk.
const LINUX_DATA: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];

/// A disk that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its node, such as `/dev/vdb`.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What it holds.
    pub content: Content,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Use this disk: it is ours.
    Use(PathBuf),
    /// Partition this disk: it is blank, and the only one.
    Partition(PathBuf),
    /// Touch nothing, and say why.
    Wait(Obstacle),
}

/// Why there is no disk to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// There is no disk at all, or none of use; what there is.
    None(Vec<Disk>),
    /// Several are blank.
    SeveralBlank(Vec<PathBuf>),
    /// Several are ours.
    SeveralOurs(Vec<PathBuf>),
    /// The blank one is too small.
    TooSmall(PathBuf, u64),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |paths: &[PathBuf]| {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        };
        match self {
            Obstacle::None(disks) => {
                f.write_str("no disk for STATE and DATA")?;
                for disk in disks {
                    write!(f, "; {} holds {} and is left alone", disk.path.display(), disk.content)?;
                }
                f.write_str(
                    ": attach a blank disk, or wipe one with wipefs --all and zero its first 4 MiB elsewhere",
                )
            }
            Obstacle::SeveralBlank(paths) => {
                write!(
                    f,
                    "several blank disks ({}) and none is ours: leave one attached until it is",
                    names(paths)
                )
            }
            Obstacle::SeveralOurs(paths) => {
                write!(
                    f,
                    "several disks hold STATE and DATA ({}): detach all but this machine's own",
                    names(paths)
                )
            }
            Obstacle::TooSmall(path, bytes) => write!(
                f,
                "{} has {} MiB: {} MiB at least are needed",
                path.display(),
                bytes >> 20,
                SMALLEST_DISK_BYTES >> 20
            ),
        }
    }
}

/// Decides from what the disks hold.
#[must_use]
pub fn step(disks: &[Disk]) -> Step {
    let with =
        |content: &Content| -> Vec<&Disk> { disks.iter().filter(|disk| disk.content == *content).collect() };
    let paths = |disks: &[&Disk]| disks.iter().map(|disk| disk.path.clone()).collect();
    match with(&Content::Ours).as_slice() {
        [disk] => return Step::Use(disk.path.clone()),
        [] => {}
        several => return Step::Wait(Obstacle::SeveralOurs(paths(several))),
    }
    match with(&Content::Blank).as_slice() {
        [disk] if disk.bytes < SMALLEST_DISK_BYTES => {
            Step::Wait(Obstacle::TooSmall(disk.path.clone(), disk.bytes))
        }
        [disk] => Step::Partition(disk.path.clone()),
        [] => {
            let foreign = |disk: &&Disk| matches!(disk.content, Content::Foreign(_));
            Step::Wait(Obstacle::None(disks.iter().filter(foreign).cloned().collect()))
        }
        several => Step::Wait(Obstacle::SeveralBlank(paths(several))),
    }
}

/// Why a disk could not be partitioned.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The table itself.
    #[error("laying out the partition table: {0}")]
    Table(#[from] gptman::Error),
    /// No room for a partition.
    #[error("laying out the partition table: no room for {0}")]
    NoRoom(&'static str),
    /// Writing.
    #[error("writing the partition table: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes the partition table: STATE, then DATA in all the rest. `guids` are the disk's, STATE's and DATA's.
///
/// # Errors
/// [`PartitionError`]; a table half written counts as no table, its checksums don't match.
pub fn partition(
    disk: &mut (impl Read + Write + Seek),
    sector_bytes: u64,
    guids: [[u8; 16]; 3],
) -> Result<(), PartitionError> {
    let [disk_guid, state_guid, data_guid] = guids;
    let mut table = gptman::GPT::new_from(disk, sector_bytes, disk_guid)?;
    let sectors = STATE_BYTES.checked_div(sector_bytes).unwrap_or(0);
    let state = table.find_first_place(sectors).ok_or(PartitionError::NoRoom(STATE_LABEL))?;
    set(&mut table, 1, STATE_LABEL, state_guid, state, sectors);
    let rest = table.get_maximum_partition_size()?;
    let data = table.find_first_place(rest).ok_or(PartitionError::NoRoom(DATA_LABEL))?;
    set(&mut table, 2, DATA_LABEL, data_guid, data, rest);
    table.write_into(disk)?;
    gptman::GPT::write_protective_mbr_into(disk, sector_bytes)?;
    disk.flush()?;
    Ok(())
}

fn set(table: &mut gptman::GPT, number: u32, name: &str, guid: [u8; 16], start: u64, sectors: u64) {
    table[number] = gptman::GPTPartitionEntry {
        partition_type_guid: LINUX_DATA,
        unique_partition_guid: guid,
        starting_lba: start,
        ending_lba: start.saturating_add(sectors).saturating_sub(1),
        attribute_bits: 0,
        partition_name: name.into(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::facts;
    use std::io::Cursor;

    fn disk(path: &str, content: Content) -> Disk {
        Disk { path: path.into(), bytes: 1 << 30, content }
    }

    fn photos(path: &str) -> Disk {
        disk(path, Content::Foreign("an ext file system labelled \"photos\"".to_owned()))
    }

    #[test]
    fn our_own_disk_is_used_even_beside_a_blank_one() {
        let disks = [disk("/dev/vda", Content::Blank), disk("/dev/vdb", Content::Ours), photos("/dev/vdc")];
        assert_eq!(step(&disks), Step::Use("/dev/vdb".into()));
    }

    #[test]
    fn the_only_blank_disk_is_partitioned() {
        let disks = [disk("/dev/vda", Content::Slot), disk("/dev/vdb", Content::Blank), photos("/dev/vdc")];
        assert_eq!(step(&disks), Step::Partition("/dev/vdb".into()));
    }

    #[test]
    fn a_choice_between_blank_disks_is_left_to_people() {
        let disks = [disk("/dev/vda", Content::Blank), disk("/dev/vdb", Content::Blank)];
        assert!(matches!(step(&disks), Step::Wait(Obstacle::SeveralBlank(_))));
        let disks = [disk("/dev/vda", Content::Ours), disk("/dev/vdb", Content::Ours)];
        assert!(matches!(step(&disks), Step::Wait(Obstacle::SeveralOurs(_))));
    }

    #[test]
    fn a_foreign_disk_is_left_alone_and_named() {
        let Step::Wait(obstacle) = step(&[disk("/dev/vda", Content::Slot), photos("/dev/vdb")]) else {
            panic!()
        };
        let text = obstacle.to_string();
        assert!(
            text.contains("/dev/vdb holds an ext file system labelled \"photos\" and is left alone"),
            "{text}"
        );
        assert!(!text.contains("/dev/vda"), "{text}");
    }

    #[test]
    fn what_is_partitioned_is_ours_afterwards() {
        let mut device = Cursor::new(vec![0; usize::try_from(SMALLEST_DISK_BYTES).unwrap()]);
        partition(&mut device, 512, [[1; 16], [2; 16], [3; 16]]).unwrap();
        assert_eq!(facts::read(&mut device, SMALLEST_DISK_BYTES).unwrap(), Content::Ours);
        let table = gptman::GPT::find_from(&mut device).unwrap();
        assert_eq!(table[1].size().unwrap() * 512, STATE_BYTES);
        assert_eq!(table[1].starting_lba % 2048, 0);
    }

    #[test]
    fn a_table_torn_in_the_middle_is_not_taken_for_ours() {
        let size = usize::try_from(SMALLEST_DISK_BYTES).unwrap();
        let mut device = Cursor::new(vec![0; size]);
        partition(&mut device, 512, [[1; 16], [2; 16], [3; 16]]).unwrap();
        let whole = device.into_inner();
        // Only the first two sectors reached the disk: the protective MBR and a header without its entries.
        let mut torn = vec![0; size];
        torn[..1024].copy_from_slice(&whole[..1024]);
        let content = facts::read(&mut Cursor::new(torn), SMALLEST_DISK_BYTES).unwrap();
        assert!(matches!(content, Content::Foreign(_)), "{content:?}");
    }
}
