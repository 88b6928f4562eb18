//! A disk and its partitions, from their texts below /sys/block.
//!
//! Sysfs counts sectors of 512 bytes whatever the disk's own are. What holds no bytes (an empty loop device) is not
//! shown.

use node_api::reply::{Disk, Partition};

/// Sysfs' unit.
const SECTOR_BYTES: u64 = 512;

/// Reads a disk; `file` gives the text of a file in its directory.
pub fn disk(
    name: &str,
    file: impl Fn(&str) -> Option<String>,
    holders: Vec<String>,
    partitions: Vec<Partition>,
) -> Option<Disk> {
    let size_bytes = sectors(file("size").as_deref())?;
    if size_bytes == 0 {
        return None;
    }
    let stat: Vec<u64> =
        file("stat").unwrap_or_default().split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
    let moved = |index: usize| stat.get(index).copied().unwrap_or(0).saturating_mul(SECTOR_BYTES);
    let model = file("device/model").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Some(Disk {
        name: name.to_owned(),
        size_bytes,
        read_only: file("ro").is_some_and(|text| text.trim() == "1"),
        model,
        holders,
        partitions,
        // Fields 3 and 7 of the kernel's iostats.
        read_bytes: moved(2),
        written_bytes: moved(6),
    })
}

/// Reads a partition.
pub fn partition(name: &str, file: impl Fn(&str) -> Option<String>) -> Option<Partition> {
    let label = file("uevent")
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("PARTNAME=").map(str::to_owned)));
    Some(Partition {
        name: name.to_owned(),
        label,
        start_bytes: sectors(file("start").as_deref())?,
        size_bytes: sectors(file("size").as_deref())?,
    })
}

fn sectors(text: Option<&str>) -> Option<u64> {
    text?.trim().parse::<u64>().ok()?.checked_mul(SECTOR_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        |name| list.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
    }

    #[test]
    fn a_disk_is_read_with_its_partitions() {
        let part = partition(
            "vda1",
            files(&[("size", "8\n"), ("start", "2048\n"), ("uevent", "A=b\nPARTNAME=STATE\n")]),
        );
        let part = part.unwrap();
        assert_eq!(
            (part.label.as_deref(), part.start_bytes, part.size_bytes),
            (Some("STATE"), 1 << 20, 4096)
        );
        let texts = files(&[
            ("size", "16\n"),
            ("ro", "1\n"),
            ("stat", " 1 0 10 0 2 0 20 0 0 0 0\n"),
            ("device/model", "  X  \n"),
        ]);
        let disk = disk("vda", texts, vec!["dm-0".to_owned()], vec![part]).unwrap();
        assert_eq!((disk.size_bytes, disk.read_only, disk.model.as_deref()), (8192, true, Some("X")));
        assert_eq!((disk.read_bytes, disk.written_bytes), (5120, 10_240));
    }

    #[test]
    fn an_empty_disk_is_not_shown() {
        assert!(disk("loop0", files(&[("size", "0\n")]), Vec::new(), Vec::new()).is_none());
        assert!(disk("x", files(&[]), Vec::new(), Vec::new()).is_none());
    }
}
