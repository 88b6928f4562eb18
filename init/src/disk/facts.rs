//! What a block device holds, told from its first and last bytes.
//!
//! Only what a decision or a message needs: blank, ours, a slot, a config disk, or somebody
//! else's and then of which kind. Nothing is mounted and no file system is parsed beyond its
//! magic and label.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

/// How much of the beginning is looked at: every partition table and superblock lies in it.
pub const HEAD_BYTES: usize = 4 << 20;
/// How much of the end is looked at: a GPT's copy, RAID superblocks.
pub const TAIL_BYTES: usize = 1 << 20;
/// The label of STATE, as partition and as file system.
pub const STATE_LABEL: &str = "slipway-state";
/// The label of DATA.
pub const DATA_LABEL: &str = "slipway-data";
/// The label of a config disk.
const CONFIG_LABEL: &str = "slipway-config";

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing at all where anything would be.
    Blank,
    /// Our partition table with STATE and DATA.
    Ours,
    /// A slot image.
    Slot,
    /// A config disk.
    Config,
    /// Somebody else's; the text says what it looks like.
    Foreign(String),
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Blank => f.write_str("nothing"),
            Content::Ours => f.write_str("STATE and DATA"),
            Content::Slot => f.write_str("a slot image"),
            Content::Config => f.write_str("a machine config"),
            Content::Foreign(what) => f.write_str(what),
        }
    }
}

/// Reads what `device` of `size` bytes holds.
///
/// # Errors
/// Reading itself.
pub fn read(device: &mut (impl Read + Seek), size: u64) -> std::io::Result<Content> {
    let head_length = usize::try_from(size).unwrap_or(usize::MAX).min(HEAD_BYTES);
    let mut head = vec![0; head_length];
    device.seek(SeekFrom::Start(0))?;
    device.read_exact(&mut head)?;
    let tail_length = usize::try_from(size).unwrap_or(usize::MAX).min(TAIL_BYTES);
    let mut tail = vec![0; tail_length];
    device.seek(SeekFrom::Start(size.saturating_sub(u64::try_from(tail_length).unwrap_or(0))))?;
    device.read_exact(&mut tail)?;
    if let Some(names) = partition_names(device) {
        return Ok(of_partitions(&names));
    }
    Ok(of_bytes(&head, &tail))
}

/// The names of a GPT's partitions, if there is a GPT.
fn partition_names(device: &mut (impl Read + Seek)) -> Option<Vec<String>> {
    device.seek(SeekFrom::Start(0)).ok()?;
    let table = gptman::GPT::find_from(device).ok()?;
    Some(
        table
            .iter()
            .filter(|(_, partition)| partition.is_used())
            .map(|(_, partition)| partition.partition_name.as_str().to_owned())
            .collect(),
    )
}

fn of_partitions(names: &[String]) -> Content {
    if names == [STATE_LABEL, DATA_LABEL] {
        return Content::Ours;
    }
    Content::Foreign(format!("a partition table with {}", list(names)))
}

fn list(names: &[String]) -> String {
    match names {
        [] => "no partition".to_owned(),
        names => names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
    }
}

/// What the bytes at both ends say when there is no GPT.
fn of_bytes(head: &[u8], tail: &[u8]) -> Content {
    if head.iter().chain(tail).all(|byte| *byte == 0) {
        return Content::Blank;
    }
    if has(head, 1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
        return Content::Slot;
    }
    if let Some(label) = ext_label(head) {
        return match label.as_str() {
            CONFIG_LABEL => Content::Config,
            "" => Content::Foreign("an ext file system without a label".to_owned()),
            label => Content::Foreign(format!("an ext file system labelled {label:?}")),
        };
    }
    let known: [(usize, &[u8], &str); 9] = [
        (0, b"XFSB", "an XFS file system"),
        (0, b"LUKS\xba\xbe", "a LUKS volume"),
        (0, b"hsqs", "a squashfs image"),
        (0x1_0040, b"_BHRfS_M", "a btrfs file system"),
        (0x8001, b"CD001", "an ISO 9660 image"),
        (512 + 8, b"\0LVM2 001", "an LVM volume"),
        (4086, b"SWAPSPACE2", "swap space"),
        (82, b"FAT32", "a FAT file system"),
        (54, b"FAT", "a FAT file system"),
    ];
    if let Some((_, _, what)) = known.into_iter().find(|(at, magic, _)| has(head, *at, magic)) {
        return Content::Foreign(what.to_owned());
    }
    if has(head, 510, &[0x55, 0xaa]) {
        return Content::Foreign("an MBR partition table".to_owned());
    }
    Content::Foreign("data of an unknown kind".to_owned())
}

fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

/// The label of an ext2/3/4 file system, if the bytes begin one.
#[must_use]
pub fn ext_label(head: &[u8]) -> Option<String> {
    let superblock = head.get(1024..2048)?;
    if !has(superblock, 56, &[0x53, 0xef]) {
        return None;
    }
    let label = superblock.get(120..136)?;
    let end = label.iter().position(|byte| *byte == 0).unwrap_or(label.len());
    Some(String::from_utf8_lossy(label.get(..end)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn disk(marks: &[(usize, &[u8])]) -> Content {
        let mut bytes = vec![0; 8 << 20];
        for (at, mark) in marks {
            bytes[*at..*at + mark.len()].copy_from_slice(mark);
        }
        let size = bytes.len() as u64;
        read(&mut Cursor::new(bytes), size).unwrap()
    }

    #[test]
    fn only_a_disk_of_zeros_is_blank() {
        assert_eq!(disk(&[]), Content::Blank);
        for at in [0, 511, 4096, (4 << 20) - 1, (7 << 20), (8 << 20) - 1] {
            assert!(matches!(disk(&[(at, &[1])]), Content::Foreign(_)), "a byte at {at} was overlooked");
        }
    }

    #[test]
    fn what_is_somebody_elses_is_named() {
        let named = |marks: &[(usize, &[u8])]| disk(marks).to_string();
        assert_eq!(
            named(&[(1080, &[0x53, 0xef]), (1144, b"photos")]),
            "an ext file system labelled \"photos\""
        );
        assert_eq!(named(&[(0, b"XFSB")]), "an XFS file system");
        assert_eq!(named(&[(0, b"LUKS\xba\xbe")]), "a LUKS volume");
        assert_eq!(named(&[(510, &[0x55, 0xaa])]), "an MBR partition table");
        assert_eq!(named(&[(3_000_000, b"x")]), "data of an unknown kind");
    }

    #[test]
    fn slots_and_config_disks_are_told_from_others() {
        assert_eq!(disk(&[(1024, &[0xe2, 0xe1, 0xf5, 0xe0])]), Content::Slot);
        assert_eq!(disk(&[(1080, &[0x53, 0xef]), (1144, b"slipway-config")]), Content::Config);
    }

    #[test]
    fn another_partition_table_is_foreign_and_says_whose() {
        let names =
            |names: &[&str]| of_partitions(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&[STATE_LABEL, DATA_LABEL]), Content::Ours);
        assert_eq!(names(&["EFI", "root"]).to_string(), "a partition table with \"EFI\", \"root\"");
        assert!(matches!(names(&[STATE_LABEL]), Content::Foreign(_)));
        assert!(matches!(names(&[]), Content::Foreign(_)));
    }
}
