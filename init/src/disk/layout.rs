//! Which disk is the machine's.
//!
//! Pure: facts of all disks in, one step out. The rule that keeps other people's data safe:
//! only a disk that is ours already is used, only one that is blank is partitioned, only one
//! that we began is finished, and when there is a choice to make nothing is done but to say
//! so. What is written where is `table`'s and `making`'s.

use std::fmt;
use std::path::PathBuf;

use super::claim::{Claim, Stage};
use super::facts::Content;
use super::table::SMALLEST_DISK_BYTES;

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
    /// Make this disk ours: it is blank, and the only one.
    Make(PathBuf),
    /// Go on making this disk ours: the power went while we did.
    Finish(PathBuf, Claim, Stage),
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
    /// Several were begun.
    SeveralBegun(Vec<PathBuf>),
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
                f.write_str(": attach a blank disk")?;
                if disks.is_empty() {
                    return Ok(());
                }
                // wipefs alone is not enough: it leaves most of a partition table's bytes.
                f.write_str(
                    "; or, if nothing on one of them is needed any more, zero its first 4 MiB \
                     and its last 1 MiB on another machine (blkdiscard --zeroout, or dd)",
                )
            }
            Obstacle::SeveralBlank(paths) => {
                write!(
                    f,
                    "several blank disks ({}) and none is ours: leave one attached until it is",
                    names(paths)
                )
            }
            Obstacle::SeveralBegun(paths) => {
                write!(
                    f,
                    "several disks were begun and none is finished ({}): leave this machine's own attached",
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
    let begun: Vec<(&Disk, &Claim, Stage)> = disks
        .iter()
        .filter_map(|disk| match &disk.content {
            Content::Begun(claim, stage) => Some((disk, claim, *stage)),
            _ => None,
        })
        .collect();
    match begun.as_slice() {
        [(disk, claim, stage)] => return Step::Finish(disk.path.clone(), (*claim).clone(), *stage),
        [] => {}
        several => {
            let paths = several.iter().map(|(disk, ..)| disk.path.clone()).collect();
            return Step::Wait(Obstacle::SeveralBegun(paths));
        }
    }
    match with(&Content::Blank).as_slice() {
        [disk] if disk.bytes < SMALLEST_DISK_BYTES => {
            Step::Wait(Obstacle::TooSmall(disk.path.clone(), disk.bytes))
        }
        [disk] => Step::Make(disk.path.clone()),
        [] => {
            let foreign = |disk: &&Disk| matches!(disk.content, Content::Foreign(_));
            Step::Wait(Obstacle::None(disks.iter().filter(foreign).cloned().collect()))
        }
        several => Step::Wait(Obstacle::SeveralBlank(paths(several))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(step(&disks), Step::Make("/dev/vdb".into()));
    }

    #[test]
    fn a_choice_between_blank_disks_is_left_to_people() {
        let disks = [disk("/dev/vda", Content::Blank), disk("/dev/vdb", Content::Blank)];
        assert!(matches!(step(&disks), Step::Wait(Obstacle::SeveralBlank(_))));
        let disks = [disk("/dev/vda", Content::Ours), disk("/dev/vdb", Content::Ours)];
        assert!(matches!(step(&disks), Step::Wait(Obstacle::SeveralOurs(_))));
    }

    #[test]
    fn a_disk_that_was_begun_is_finished_before_another_is() {
        let claim = Claim { bytes: 1 << 30, sector_bytes: 512, guids: [[1; 16]; 3] };
        let begun = |path| disk(path, Content::Begun(claim.clone(), Stage::Claimed));
        let finish = Step::Finish("/dev/vdb".into(), claim.clone(), Stage::Claimed);
        assert_eq!(step(&[disk("/dev/vda", Content::Blank), begun("/dev/vdb")]), finish);
        assert!(matches!(
            step(&[begun("/dev/vda"), begun("/dev/vdb")]),
            Step::Wait(Obstacle::SeveralBegun(_))
        ));
        let ours = [begun("/dev/vda"), disk("/dev/vdb", Content::Ours)];
        assert_eq!(step(&ours), Step::Use("/dev/vdb".into()));
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
        assert!(text.contains("zero its first 4 MiB and its last 1 MiB"), "{text}");
        assert!(!text.contains("/dev/vda"), "{text}");
    }
}
