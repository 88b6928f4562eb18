//! What a block device holds, told from its first and last bytes.
//!
//! Only what a decision or a message needs: blank, ours, begun by us, a slot, a config disk,
//! or somebody else's and then of which kind. Nothing is mounted and no file system is parsed
//! beyond its superblock. What one of our own volumes holds is judged in `volume`.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use super::claim::{self, Claim, MARK_AT, RECORD_AT, Stage, Written};
use super::sparse::{SECTOR, Sparse};
use super::table::{DATA_LABEL, STATE_LABEL, Table};

/// How much of the beginning is looked at: every partition table and superblock lies in it.
pub const HEAD_BYTES: usize = 4 << 20;
/// How much of the end is looked at: a GPT's copy, RAID superblocks.
pub const TAIL_BYTES: usize = 1 << 20;
/// The label of a config disk.
const CONFIG_LABEL: &str = "slipway-config";

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing at all where anything would be, or nothing but a claim that never became whole.
    Blank,
    /// A claim of ours, and what was written under it until the power went.
    Begun(Claim, Stage),
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
            Content::Begun(..) => f.write_str("the beginnings of STATE and DATA"),
            Content::Ours => f.write_str("STATE and DATA"),
            Content::Slot => f.write_str("a slot image"),
            Content::Config => f.write_str("a machine config"),
            Content::Foreign(what) => f.write_str(what),
        }
    }
}

/// Both ends of a device.
struct Ends {
    size: u64,
    head: Vec<u8>,
    tail_at: u64,
    tail: Vec<u8>,
}

impl Ends {
    /// The sectors that were read, by their places; those in both ends come twice.
    fn sectors(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let places = |from: u64| (from..).step_by(SECTOR);
        let head = places(0).zip(self.head.chunks(SECTOR));
        head.chain(places(self.tail_at).zip(self.tail.chunks(SECTOR)))
    }

    fn sector(&self, at: u64) -> Option<&[u8]> {
        let of = |bytes: &'_ [u8], from: u64| {
            let offset = usize::try_from(at.checked_sub(from)?).ok()?;
            let end = offset.checked_add(SECTOR)?;
            (end <= bytes.len()).then_some(offset..end)
        };
        match of(&self.head, 0) {
            Some(range) => self.head.get(range),
            None => self.tail.get(of(&self.tail, self.tail_at)?),
        }
    }
}

/// Reads what `device` of `size` bytes holds.
///
/// # Errors
/// Reading itself.
pub fn read(device: &mut (impl Read + Seek), size: u64) -> std::io::Result<Content> {
    let whole = usize::try_from(size).unwrap_or(usize::MAX);
    let mut part = |at: u64, length: usize| -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        device.seek(SeekFrom::Start(at))?;
        device.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let head = part(0, whole.min(HEAD_BYTES))?;
    let tail_length = whole.min(TAIL_BYTES);
    let tail_at = size.saturating_sub(tail_length as u64);
    let tail = part(tail_at, tail_length)?;
    Ok(judge(&Ends { size, head, tail_at, tail }))
}

fn judge(ends: &Ends) -> Content {
    if ends.sectors().all(|(_, sector)| is_zero(sector)) {
        return Content::Blank;
    }
    let mark = ends.sector(MARK_AT).unwrap_or_default();
    let mark = if is_zero(mark) { Written::Other } else { claim::written(mark, &claim::mark()) };
    if mark == Written::Whole
        && let Some(begun) = begun(ends)
    {
        return begun;
    }
    let only = |places: &[u64]| ends.sectors().all(|(at, sector)| is_zero(sector) || places.contains(&at));
    match mark {
        Written::Partly if only(&[MARK_AT]) => return Content::Blank,
        Written::Whole if only(&[MARK_AT, RECORD_AT]) => return Content::Blank,
        _ => {}
    }
    of_table(ends).unwrap_or_else(|| of_bytes(&ends.head, &ends.tail))
}

/// What a claimed disk holds; none when it holds anything that we did not write.
fn begun(ends: &Ends) -> Option<Content> {
    let claim = Claim::parse(ends.sector(RECORD_AT)?).filter(|claim| claim.bytes == ends.size)?;
    let table = Table::of(&claim).ok()?;
    let is_whole = table.sectors().all(|(at, sector)| ends.sector(at) == Some(sector.as_slice()));
    if is_whole {
        // Beyond both ends of the table it is the volumes' turn to be judged.
        let volumes = table.state.start..table.data.end;
        let ours =
            |at: u64| volumes.contains(&at) || at == MARK_AT || at == RECORD_AT || table.sector(at).is_some();
        let ours = ends.sectors().all(|(at, sector)| is_zero(sector) || ours(at));
        return ours.then_some(Content::Begun(claim, Stage::Partitioned));
    }
    let ours = ends.sectors().all(|(at, sector)| {
        let torn = || table.sector(at).is_some_and(|whole| claim::written(sector, whole) != Written::Other);
        is_zero(sector) || at == MARK_AT || at == RECORD_AT || torn()
    });
    ours.then_some(Content::Begun(claim, Stage::Claimed))
}

/// What a GPT says, if there is one.
fn of_table(ends: &Ends) -> Option<Content> {
    let mut disk = Sparse::new(ends.size);
    ends.sectors().filter(|(_, sector)| !is_zero(sector)).for_each(|(at, sector)| disk.put(at, sector));
    let table = gptman::GPT::find_from(&mut disk).ok()?;
    let used = table.iter().filter(|(_, partition)| partition.is_used());
    let names: Vec<String> =
        used.map(|(_, partition)| partition.partition_name.as_str().to_owned()).collect();
    // The kernel wants a protective MBR and the first of the two tables; without them it shows no partition.
    let is_shown = has(&ends.head, 510, &[0x55, 0xaa]) && has(&ends.head, 450, &[0xee]) && table.is_primary();
    Some(match (names == [STATE_LABEL, DATA_LABEL], is_shown) {
        (true, true) => Content::Ours,
        (true, false) => Content::Foreign(
            "STATE and DATA under a damaged partition table, of which only a part is left".to_owned(),
        ),
        (false, _) => Content::Foreign(format!("a partition table with {}", list(&names))),
    })
}

fn list(names: &[String]) -> String {
    match names {
        [] => "no partition".to_owned(),
        names => names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
    }
}

/// What the bytes at both ends say when there is no GPT.
fn of_bytes(head: &[u8], tail: &[u8]) -> Content {
    if has(head, 1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
        return Content::Slot;
    }
    if let Some(ext) = ext(head) {
        return match ext.label.as_str() {
            CONFIG_LABEL => Content::Config,
            _ => Content::Foreign(ext.to_string()),
        };
    }
    let kind = known_kind(head).or_else(|| raid_at_the_end(tail));
    let kind = kind.or_else(|| has(head, 510, &[0x55, 0xaa]).then_some("an MBR partition table"));
    Content::Foreign(kind.unwrap_or("data of an unknown kind").to_owned())
}

/// The superblock of Linux RAID.
const RAID: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];

/// What a device that begins with `head` holds, when that is something well known and no ext.
#[must_use]
pub fn known_kind(head: &[u8]) -> Option<&'static str> {
    let known: [(usize, &[u8], &str); 14] = [
        (0, b"XFSB", "an XFS file system"),
        (0, b"LUKS\xba\xbe", "a LUKS volume"),
        (0, b"hsqs", "a squashfs image"),
        (0x1_0040, b"_BHRfS_M", "a btrfs file system"),
        (0x8001, b"CD001", "an ISO 9660 image"),
        (1024, &[0x10, 0x20, 0xf5, 0xf2], "an F2FS file system"),
        (4086, b"SWAPSPACE2", "swap space"),
        (4086, b"SWAP-SPACE", "swap space"),
        (0, RAID, "a member of a RAID"),
        (4096, RAID, "a member of a RAID"),
        (3, b"NTFS    ", "an NTFS file system"),
        (3, b"EXFAT   ", "an exFAT file system"),
        (82, b"FAT32", "a FAT file system"),
        (54, b"FAT", "a FAT file system"),
    ];
    if let Some((_, _, what)) = known.into_iter().find(|(at, magic, _)| has(head, *at, magic)) {
        return Some(what);
    }
    // An LVM label is in one of the first four sectors.
    if (0..4).any(|sector| has(head, sector * SECTOR, b"LABELONE")) {
        return Some("an LVM volume");
    }
    // ZFS keeps a ring of uberblocks of 1 KiB or more in the second half of its 256 KiB label.
    let uberblocks = (128 << 10..256 << 10).step_by(1024);
    let is_zfs = uberblocks.into_iter().any(|at| has(head, at, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]));
    is_zfs.then_some("a member of a ZFS pool")
}

/// Older superblocks of Linux RAID lie at the end, on a multiple of 4 KiB.
fn raid_at_the_end(tail: &[u8]) -> Option<&'static str> {
    tail.chunks(4096).any(|block| block.starts_with(RAID)).then_some("a member of a RAID")
}

fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

/// Whether there is nothing in `bytes`.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    // Compared in pieces: a loop over single bytes takes seconds in a debug build.
    const ZEROS: [u8; SECTOR] = [0; SECTOR];
    bytes.chunks(SECTOR).all(|piece| ZEROS.get(..piece.len()) == Some(piece))
}

/// What an ext2/3/4 file system says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext {
    /// Its label.
    pub label: String,
    /// Whether it was ever in use.
    pub was_mounted: bool,
}

impl fmt::Display for Ext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label.as_str() {
            "" => f.write_str("an ext file system without a label"),
            label => write!(f, "an ext file system labelled {label:?}"),
        }
    }
}

/// The ext2/3/4 file system that the bytes begin, if they do.
#[must_use]
pub fn ext(head: &[u8]) -> Option<Ext> {
    let superblock = head.get(1024..2048)?;
    if !has(superblock, 56, &[0x53, 0xef]) {
        return None;
    }
    let label = superblock.get(120..136)?;
    let end = label.iter().position(|byte| *byte == 0).unwrap_or(label.len());
    // When it was mounted last, how often since its last check, and where.
    let traces = [superblock.get(44..48)?, superblock.get(52..54)?, superblock.get(136..200)?];
    let was_mounted = traces.into_iter().any(|bytes| !is_zero(bytes));
    Some(Ext { label: String::from_utf8_lossy(label.get(..end)?).into_owned(), was_mounted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const DISK: usize = 8 << 20;

    fn disk(marks: &[(usize, &[u8])]) -> Content {
        let mut bytes = vec![0; DISK];
        for (at, mark) in marks {
            bytes[*at..*at + mark.len()].copy_from_slice(mark);
        }
        let size = bytes.len() as u64;
        read(&mut Cursor::new(bytes), size).unwrap()
    }

    #[test]
    fn only_a_disk_of_zeros_is_blank() {
        assert_eq!(disk(&[]), Content::Blank);
        for at in [0, 511, 4096, (4 << 20) - 1, (7 << 20), DISK - 1] {
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
        assert_eq!(named(&[(1080, &[0x53, 0xef])]), "an ext file system without a label");
        for (at, magic, what) in [
            (0, &b"XFSB"[..], "an XFS file system"),
            (0, b"LUKS\xba\xbe", "a LUKS volume"),
            (0x1_0040, b"_BHRfS_M", "a btrfs file system"),
            (512, b"LABELONE", "an LVM volume"),
            (4086, b"SWAPSPACE2", "swap space"),
            (4096, RAID, "a member of a RAID"),
            (DISK - (64 << 10), RAID, "a member of a RAID"),
            (DISK - (8 << 10), RAID, "a member of a RAID"),
            ((128 << 10) + 4096, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], "a member of a ZFS pool"),
            (510, &[0x55, 0xaa], "an MBR partition table"),
            (3_000_000, b"x", "data of an unknown kind"),
        ] {
            assert_eq!(named(&[(at, magic)]), what);
        }
    }

    #[test]
    fn slots_and_config_disks_are_told_from_others() {
        assert_eq!(disk(&[(1024, &[0xe2, 0xe1, 0xf5, 0xe0])]), Content::Slot);
        assert_eq!(disk(&[(1080, &[0x53, 0xef]), (1144, b"slipway-config")]), Content::Config);
    }

    #[test]
    fn a_file_system_remembers_that_it_was_mounted() {
        let mut head = vec![0; 2048];
        head[1080..1082].copy_from_slice(&[0x53, 0xef]);
        assert!(!ext(&head).unwrap().was_mounted);
        for at in [44, 52, 136] {
            let mut head = head.clone();
            head[1024 + at] = 1;
            assert!(ext(&head).unwrap().was_mounted, "{at}");
        }
    }

    #[test]
    fn a_marked_disk_with_anything_else_on_it_is_foreign() {
        let mark = claim::mark();
        let at = usize::try_from(MARK_AT).unwrap();
        assert_eq!(disk(&[(at, &mark)]), Content::Blank);
        assert_eq!(disk(&[(at, &mark[..77])]), Content::Blank);
        assert!(matches!(disk(&[(at, b"other")]), Content::Foreign(_)));
        for (other, bytes) in [(0, &b"XFSB"[..]), (600 << 10, b"x"), (3 << 20, b"x"), (DISK - 1, b"x")] {
            let content = disk(&[(at, &mark), (other, bytes)]);
            assert!(matches!(content, Content::Foreign(_)), "{other}: {content:?}");
        }
    }
}
