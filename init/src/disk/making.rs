//! The writes that make a blank disk ours, in an order that survives a power cut anywhere.
//!
//! Between two [`Stroke::Sync`] writes may reach the disk in any order, torn, or not at all;
//! what comes behind one never arrives before what is ahead of it. Pure: the storage agent
//! performs the strokes, `facts` tells afterwards how far they came, and `tests` replays
//! every way in which they can be cut off.

use super::claim::{Claim, MARK_AT, RECORD_AT, Stage, mark};
use super::sparse::SECTOR;
use super::table::{DATA_LABEL, STATE_LABEL, Table};

/// What a disk that was used before may still hold where a volume begins: every superblock that
/// is known lies in this much of it. Unwiped, an old DATA would come back to life.
pub const WIPED_BYTES: usize = 256 << 10;

/// One thing to do to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stroke {
    /// Write bytes.
    Write {
        /// Where.
        at: u64,
        /// Which.
        bytes: Vec<u8>,
    },
    /// Wait until everything so far is on the disk.
    Sync,
    /// Have the kernel look at the table.
    ShowPartitions,
    /// Make the file system of this label, and wait until it is on the disk.
    Format(&'static str),
}

/// What is left to do from `stage` on.
#[must_use]
pub fn strokes(claim: &Claim, table: &Table, stage: Stage) -> Vec<Stroke> {
    let write = |at: u64, bytes: &[u8]| Stroke::Write { at, bytes: bytes.to_vec() };
    let mut strokes = Vec::new();
    if stage == Stage::Blank {
        // The mark first, and alone: a torn record is nobody's unless the mark stands beside it.
        strokes.extend([write(MARK_AT, &mark()), Stroke::Sync]);
        strokes.extend([write(RECORD_AT, &claim.record()), Stroke::Sync]);
    }
    if stage != Stage::Partitioned {
        // Before the table: once there is one, what lies in a volume may be somebody's.
        strokes.extend([table.state.start, table.data.start].map(|at| write(at, &[0; WIPED_BYTES])));
        strokes.push(Stroke::Sync);
        strokes.extend(table.sectors().map(|(at, sector)| write(at, sector)));
        strokes.push(Stroke::Sync);
    }
    strokes.extend([Stroke::ShowPartitions, Stroke::Format(STATE_LABEL), Stroke::Format(DATA_LABEL)]);
    // Without its mark the claim is void, and the volumes count as made.
    strokes.extend([Stroke::Sync, write(MARK_AT, &[0; SECTOR]), Stroke::Sync]);
    strokes.extend([write(RECORD_AT, &[0; SECTOR]), Stroke::Sync]);
    strokes
}
