//! Replays every way in which the power can go while a blank disk is made ours.
//!
//! The model of a disk: what is ahead of a sync is there, what is behind it is not, and of
//! the sectors between two syncs any may be there, torn or missing. From each such state the
//! machine must go on to the same end by itself. `mke2fs` is modelled as sectors in any order
//! too, so nothing here trusts the order in which it writes.

use std::io::{Read, Seek, SeekFrom};

use proptest::prelude::*;

use super::claim::{Claim, MARK_AT, RECORD_AT, Stage, mark};
use super::facts::{self, Content};
use super::layout::{self, Disk, Step};
use super::making::{self, Stroke};
use super::sparse::{SECTOR, Sector, Sparse};
use super::table::{DATA_LABEL, SMALLEST_DISK_BYTES, STATE_LABEL, Table};
use super::volume::{self, Making, Verdict};

const SIZE: u64 = SMALLEST_DISK_BYTES;

/// Sectors that are written between two syncs, in the order in which they are issued.
type Group = Vec<(u64, Sector)>;

fn claim(seed: u8, sector_bytes: u32) -> Claim {
    Claim { bytes: SIZE, sector_bytes, guids: [[seed; 16], [seed + 1; 16], [seed + 2; 16]] }
}

/// A blank disk by the rule, that is at both its ends; in the middle it remembers an earlier life as ours.
fn blank(sector_bytes: u32) -> Sparse {
    let mut disk = Sparse::new(SIZE);
    let table = Table::of(&claim(1, sector_bytes)).unwrap();
    for (volume, label) in [(table.state, STATE_LABEL), (table.data, DATA_LABEL)] {
        if volume.start >= facts::HEAD_BYTES as u64 {
            disk.put(volume.start + 1024, &superblock(label));
            disk.put(volume.start + 1024 + 52, &[7]);
        }
    }
    disk
}

fn superblock(label: &str) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    bytes[56..58].copy_from_slice(&[0x53, 0xef]);
    bytes[120..120 + label.len()].copy_from_slice(label.as_bytes());
    bytes
}

/// A file system: its superblock, and other sectors near its beginning and at its very end.
fn file_system(volume: &std::ops::Range<u64>, label: &str) -> Group {
    let end = volume.end.min(SIZE) - 4096;
    let mut group: Group =
        [512, 4096, 70_000 / 512 * 512].map(|offset| (volume.start + offset, [0xa5; SECTOR])).to_vec();
    for (n, half) in superblock(label).as_chunks().0.iter().enumerate() {
        group.push((volume.start + 1024 + (n * SECTOR) as u64, *half));
    }
    group.push((end, [0x5a; SECTOR]));
    group
}

fn sector(disk: &mut Sparse, at: u64) -> Sector {
    let mut sector = [0; SECTOR];
    disk.seek(SeekFrom::Start(at)).unwrap();
    disk.read_exact(&mut sector).unwrap();
    sector
}

fn head_of(disk: &mut Sparse, volume: &std::ops::Range<u64>) -> Vec<u8> {
    let mut head = vec![0; making::WIPED_BYTES];
    disk.seek(SeekFrom::Start(volume.start)).unwrap();
    disk.read_exact(&mut head).unwrap();
    head
}

/// What the strokes write, sync by sync.
fn groups(strokes: &[Stroke], table: &Table) -> Vec<Group> {
    let mut groups = vec![Group::new()];
    for stroke in strokes {
        let group = groups.last_mut().unwrap();
        match stroke {
            Stroke::Write { at, bytes } => {
                let sectors = bytes.as_chunks().0.iter().enumerate();
                group.extend(sectors.map(|(n, sector)| (at + (n * SECTOR) as u64, *sector)));
            }
            Stroke::Format(STATE_LABEL) => group.extend(file_system(&table.state, STATE_LABEL)),
            Stroke::Format(label) => group.extend(file_system(&table.data, label)),
            Stroke::Sync => groups.push(Group::new()),
            Stroke::ShowPartitions => {}
        }
    }
    groups
}

/// How one sector of a group may be found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Whole,
    Missing,
    /// Its beginning is new, up to this byte.
    Beginning(usize),
    /// Its end is new, from this byte.
    End(usize),
}

fn write(disk: &mut Sparse, at: u64, new: &Sector, fate: Fate) {
    let mut now = sector(disk, at);
    match fate {
        Fate::Whole => now = *new,
        Fate::Missing => return,
        Fate::Beginning(to) => now[..to].copy_from_slice(&new[..to]),
        Fate::End(from) => now[from..].copy_from_slice(&new[from..]),
    }
    disk.put(at, &now);
}

/// Every way to lose a group that is tried: each prefix, with the next sector torn in several
/// places or not, each sector alone, each sector missing, torn alone.
fn losses(length: usize) -> Vec<Vec<Fate>> {
    let all = |fate| vec![fate; length];
    let mut losses = vec![all(Fate::Whole), all(Fate::Missing)];
    for n in 0..length {
        for torn in [
            Fate::Missing,
            Fate::Beginning(1),
            Fate::Beginning(17),
            // In the middle of a superblock's label.
            Fate::Beginning(125),
            Fate::Beginning(300),
            Fate::End(256),
            Fate::End(511),
        ] {
            let mut prefix = all(Fate::Missing);
            prefix[..n].fill(Fate::Whole);
            prefix[n] = torn;
            let mut alone = all(Fate::Missing);
            alone[n] = torn;
            let mut absent = all(Fate::Whole);
            absent[n] = torn;
            losses.extend([prefix, alone, absent]);
        }
        let mut alone = all(Fate::Missing);
        alone[n] = Fate::Whole;
        losses.push(alone);
    }
    losses.sort_by_key(|loss| format!("{loss:?}"));
    losses.dedup();
    losses
}

/// Only what changes anything counts as a write; the wiping of what is zero does not.
fn effective(disk: &mut Sparse, group: &Group) -> Group {
    group.iter().filter(|(at, new)| sector(disk, *at) != *new).copied().collect()
}

/// What a machine would do next with what it finds: the strokes left, or none when it is done.
fn next(disk: &mut Sparse, seed: u8, sector_bytes: u32) -> Option<(Table, Vec<Stroke>)> {
    let content = facts::read(disk, SIZE).unwrap();
    let found = [Disk { path: "/dev/vda".into(), bytes: SIZE, content: content.clone() }];
    let (claim, stage) = match layout::step(&found) {
        Step::Use(_) => return None,
        Step::Make(_) => (claim(seed, sector_bytes), Stage::Blank),
        Step::Finish(_, claim, stage) => (claim, stage),
        Step::Wait(obstacle) => panic!("the machine waits for a person: {obstacle}"),
    };
    let table = Table::of(&claim).unwrap();
    if stage == Stage::Partitioned {
        for (volume, label) in [(&table.state, STATE_LABEL), (&table.data, DATA_LABEL)] {
            assert_eq!(
                volume::judge(&head_of(disk, volume), label, Making::Unfinished),
                Verdict::Format,
                "{label}"
            );
        }
    }
    let strokes = making::strokes(&claim, &table, stage);
    Some((table, strokes))
}

/// A disk in use has both file systems whole, and the machine keeps them.
fn is_made(disk: &mut Sparse, sector_bytes: u32) {
    let table = Table::of(&claim(1, sector_bytes)).unwrap();
    for (volume, label) in [(&table.state, STATE_LABEL), (&table.data, DATA_LABEL)] {
        for (at, whole) in file_system(volume, label) {
            assert_eq!(sector(disk, at), whole, "{label} is in use and its sector at {at} is not there");
        }
        assert_eq!(volume::judge(&head_of(disk, volume), label, Making::Done), Verdict::Keep);
    }
}

/// Goes on from what a power cut left, without another.
fn recover(disk: &Sparse, sector_bytes: u32) {
    let mut disk = disk.clone();
    if let Some((table, strokes)) = next(&mut disk, 101, sector_bytes) {
        for (at, new) in groups(&strokes, &table).concat() {
            disk.put(at, &new);
        }
    }
    assert!(next(&mut disk, 201, sector_bytes).is_none(), "the disk is not ours in the end");
    is_made(&mut disk, sector_bytes);
}

/// Calls `seen` with every state that a power cut during what is done to `disk` may leave.
fn cuts(disk: &Sparse, seed: u8, sector_bytes: u32, seen: &mut impl FnMut(&Sparse)) -> usize {
    let mut disk = disk.clone();
    let mut count = 0;
    let Some((table, strokes)) = next(&mut disk, seed, sector_bytes) else { return 0 };
    for group in groups(&strokes, &table) {
        let group = effective(&mut disk, &group);
        for loss in losses(group.len()) {
            let mut cut = disk.clone();
            group.iter().zip(loss).for_each(|((at, new), fate)| write(&mut cut, *at, new, fate));
            seen(&cut);
            count += 1;
        }
        group.iter().for_each(|(at, new)| disk.put(*at, new));
    }
    count
}

#[test]
fn wherever_the_power_goes_the_machine_makes_its_disk_by_itself() {
    for sector_bytes in [512, 4096] {
        let count = cuts(&blank(sector_bytes), 1, sector_bytes, &mut |cut| recover(cut, sector_bytes));
        assert!(count > 200, "only {count} states were tried");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_second_and_a_third_cut_change_nothing(choices in prop::collection::vec(any::<prop::sample::Index>(), 3)) {
        let mut disk = blank(512);
        for (n, choice) in choices.iter().enumerate() {
            let mut states = Vec::new();
            cuts(&disk, 10 * u8::try_from(n).unwrap() + 1, 512, &mut |cut| states.push(cut.clone()));
            if states.is_empty() {
                break;
            }
            disk = states.swap_remove(choice.index(states.len()));
        }
        recover(&disk, 512);
    }

    #[test]
    fn sectors_lost_at_random_between_two_syncs_change_nothing(seed in prop::collection::vec(any::<(bool, usize)>(), 64), at in any::<prop::sample::Index>()) {
        let mut disk = blank(512);
        let (table, strokes) = next(&mut disk, 1, 512).unwrap();
        let groups = groups(&strokes, &table);
        let last = at.index(groups.len());
        groups[..last].concat().iter().for_each(|(at, new)| disk.put(*at, new));
        let fates = seed.iter().cycle().map(|(whole, torn)| match (whole, torn % 3) {
            (true, _) => Fate::Whole,
            (false, 0) => Fate::Missing,
            (false, 1) => Fate::Beginning(torn % SECTOR),
            (false, _) => Fate::End(torn % SECTOR),
        });
        groups[last].iter().zip(fates).for_each(|((at, new), fate)| write(&mut disk, *at, new, fate));
        recover(&disk, 512);
    }

    #[test]
    fn a_disk_with_anything_else_on_it_is_never_taken(place in 0..(5_u64 << 20), byte in 1_u8.., claimed: bool) {
        let mut disk = Sparse::new(SIZE);
        let claim = claim(1, 512);
        if claimed {
            disk.put(MARK_AT, &mark());
            disk.put(RECORD_AT, &claim.record());
        }
        let at = if place < 4 << 20 { place } else { SIZE - (5 << 20) + place };
        // What a cut of our own may have left is the other tests' business.
        let sector_at = at / SECTOR as u64 * SECTOR as u64;
        prop_assume!(![MARK_AT, RECORD_AT].contains(&sector_at));
        prop_assume!(Table::of(&claim).unwrap().sector(sector_at).is_none());
        disk.put(at, &[byte]);
        let content = facts::read(&mut disk, SIZE).unwrap();
        prop_assert!(matches!(content, Content::Foreign(_)), "{content:?}");
    }
}

/// Bytes and their places.
type Marks = Vec<(u64, Vec<u8>)>;

/// Other people's disks.
fn foreign() -> Vec<(&'static str, Marks)> {
    let mut mbr = vec![0; SECTOR];
    mbr[446..462].copy_from_slice(&[0x80, 1, 1, 0, 0x83, 254, 255, 255, 0, 8, 0, 0, 0, 0, 1, 0]);
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut other = Sparse::new(SIZE);
    let mut table = gptman::GPT::new_from(&mut other, 512, [9; 16]).unwrap();
    table[1] = gptman::GPTPartitionEntry {
        partition_type_guid: [8; 16],
        unique_partition_guid: [7; 16],
        starting_lba: 2048,
        ending_lba: 4096,
        attribute_bits: 0,
        partition_name: "photos".into(),
    };
    table.write_into(&mut other).unwrap();
    gptman::GPT::write_protective_mbr_into(&mut other, 512).unwrap();
    let gpt: Vec<_> = other.sectors().map(|(at, sector)| (at, sector.to_vec())).collect();
    let backup: Vec<_> = gpt.iter().filter(|(at, _)| *at > SIZE / 2).cloned().collect();
    let one = |at: u64, bytes: &[u8]| vec![(at, bytes.to_vec())];
    vec![
        ("an MBR partition table", vec![(0, mbr)]),
        ("a partition table with \"photos\"", gpt),
        ("a partition table with \"photos\"", backup),
        ("an ext file system without a label", vec![(1024, superblock(""))]),
        ("an ext file system labelled \"photos\"", vec![(1024, superblock("photos"))]),
        ("an XFS file system", one(0, b"XFSB")),
        ("a btrfs file system", one(0x1_0040, b"_BHRfS_M")),
        ("a LUKS volume", one(0, b"LUKS\xba\xbe")),
        ("an LVM volume", one(512, b"LABELONE")),
        ("a member of a ZFS pool", one((128 << 10) + 1024, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0])),
        ("a member of a RAID", one(4096, &[0xfc, 0x4e, 0x2b, 0xa9])),
        ("a member of a RAID", one(SIZE - (64 << 10), &[0xfc, 0x4e, 0x2b, 0xa9])),
        ("swap space", one(4086, b"SWAPSPACE2")),
        ("data of an unknown kind", one((2 << 20) + 5, b"?")),
        ("data of an unknown kind", one(SIZE - 1, b"?")),
    ]
}

#[test]
fn other_peoples_disks_are_refused_with_their_kind_and_what_to_do() {
    let claimed = [(MARK_AT, mark()), (RECORD_AT, claim(1, 512).record())];
    // Alone, and put onto a disk that a machine of ours had begun.
    for under in [&[][..], &claimed[..1], &claimed[..]] {
        for (kind, marks) in foreign() {
            let mut disk = Sparse::new(SIZE);
            under.iter().for_each(|(at, sector)| disk.put(*at, sector));
            marks.iter().for_each(|(at, bytes)| disk.put(*at, bytes));
            let content = facts::read(&mut disk, SIZE).unwrap();
            assert_eq!(content, Content::Foreign(kind.to_owned()));
            let found = [Disk { path: "/dev/vda".into(), bytes: SIZE, content }];
            let Step::Wait(obstacle) = layout::step(&found) else { panic!("{kind} was taken") };
            let text = obstacle.to_string();
            assert!(text.contains(&format!("/dev/vda holds {kind} and is left alone")), "{text}");
            assert!(text.contains("attach a blank disk; or"), "{text}");
        }
    }
}

#[test]
fn a_disk_begun_with_another_size_is_not_finished() {
    let mut disk = Sparse::new(SIZE);
    disk.put(MARK_AT, &mark());
    let record = Claim { bytes: SIZE * 2, ..claim(1, 512) }.record();
    disk.put(RECORD_AT, &record);
    let table = Table::of(&claim(1, 512)).unwrap();
    table.sectors().take(1).for_each(|(at, sector)| disk.put(at, sector));
    assert!(matches!(facts::read(&mut disk, SIZE).unwrap(), Content::Foreign(_)));
}

#[test]
fn without_its_first_table_a_disk_of_ours_is_for_people_to_judge() {
    let mut disk = Sparse::new(SIZE);
    Table::of(&claim(1, 512)).unwrap().sectors().for_each(|(at, sector)| disk.put(at, sector));
    assert_eq!(facts::read(&mut disk, SIZE).unwrap(), Content::Ours);
    for at in [0, 512] {
        let mut damaged = disk.clone();
        damaged.put(at, &[0; SECTOR]);
        let content = facts::read(&mut damaged, SIZE).unwrap();
        assert!(matches!(&content, Content::Foreign(what) if what.contains("damaged")), "{content:?}");
    }
}
