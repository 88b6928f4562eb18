//! The claim: what a machine writes to a blank disk before anything else.
//!
//! A mark that is the same on every disk, and once that is down a record of what will be
//! written: the disk's size and the GUIDs of its table. With it every half-written table can
//! be told from somebody else's. The mark's removal says that STATE and DATA are whole;
//! nothing of a claim is left on a disk in use. Pure; the order of writes is `making`'s.

use image_format::Digest;

use super::sparse::{SECTOR, Sector};

/// Where the mark lies: behind any partition table, before the first partition at 1 MiB.
pub const MARK_AT: u64 = 512 << 10;
/// Where the record lies: on a sector of its own even where sectors have 4 KiB.
pub const RECORD_AT: u64 = MARK_AT + 4096;

/// How the mark begins, for people with a hex dump.
const MARK: &[u8] = b"slipway: this disk was blank, and a machine has begun to partition it\n";
/// How the record begins; the number is its version.
const RECORD: &[u8; 16] = b"slipway claim 1\n";
/// Bytes of a record that are hashed; their SHA-256 follows.
const HASHED: usize = SECTOR - 32;

/// What a machine has begun to do with a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The disk's size.
    pub bytes: u64,
    /// Bytes of its logical sectors.
    pub sector_bytes: u32,
    /// The GUIDs of the table, of STATE and of DATA, as on disk.
    pub guids: [[u8; 16]; 3],
}

/// How far what was claimed came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is there, or only a torn claim.
    Blank,
    /// The claim is there, and perhaps some of the table.
    Claimed,
    /// The table is there; whether the volumes are, nobody knows.
    Partitioned,
}

impl Claim {
    /// The record's sector.
    #[must_use]
    pub fn record(&self) -> Sector {
        let mut hashed = Vec::with_capacity(SECTOR);
        hashed.extend(RECORD);
        hashed.extend(self.bytes.to_le_bytes());
        hashed.extend(self.sector_bytes.to_le_bytes());
        hashed.extend(self.guids.as_flattened());
        hashed.resize(HASHED, 0);
        let mut sector = [0; SECTOR];
        let digest = Digest::of(&hashed);
        sector.iter_mut().zip(hashed.iter().chain(digest.as_bytes())).for_each(|(to, from)| *to = *from);
        sector
    }

    /// Reads a record; none when it is torn, or nothing of the kind.
    #[must_use]
    pub fn parse(sector: &[u8]) -> Option<Self> {
        let (hashed, digest) = sector.split_at_checked(HASHED)?;
        if Digest::of(hashed).as_bytes() != digest {
            return None;
        }
        let (bytes, rest) = hashed.strip_prefix(RECORD)?.split_first_chunk()?;
        let (sector_bytes, rest) = rest.split_first_chunk()?;
        let (guids, _) = rest.split_first_chunk::<48>()?;
        let (guids, _) = guids.as_chunks();
        Some(Self {
            bytes: u64::from_le_bytes(*bytes),
            sector_bytes: u32::from_le_bytes(*sector_bytes),
            guids: guids.try_into().ok()?,
        })
    }
}

/// The mark's sector: no byte of it is zero, so that none of it is missed.
#[must_use]
pub fn mark() -> Sector {
    let mut sector = [b'.'; SECTOR];
    sector.iter_mut().zip(MARK).for_each(|(to, from)| *to = *from);
    sector
}

/// How much of a sector's intended content is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All of it.
    Whole,
    /// Some bytes; the others are zero still, or again.
    Partly,
    /// Something else.
    Other,
}

/// Compares a sector with what a machine of ours writes there.
#[must_use]
pub fn written(seen: &[u8], intended: &[u8]) -> Written {
    if seen == intended {
        return Written::Whole;
    }
    let torn = seen.len() == intended.len()
        && seen.iter().zip(intended).all(|(seen, intended)| *seen == 0 || seen == intended);
    if torn { Written::Partly } else { Written::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_an_altered_one_does_not() {
        let claim = Claim { bytes: 1 << 40, sector_bytes: 4096, guids: [[1; 16], [2; 16], [3; 16]] };
        let record = claim.record();
        assert_eq!(Claim::parse(&record), Some(claim));
        for at in 0..SECTOR {
            let mut altered = record;
            altered[at] ^= 1;
            assert_eq!(Claim::parse(&altered), None, "a bit at {at} was overlooked");
        }
        assert_eq!(Claim::parse(&[0; SECTOR]), None);
        assert_eq!(Claim::parse(&[]), None);
    }

    #[test]
    fn a_torn_sector_is_told_from_another_one() {
        let mut torn = mark();
        torn[100..300].fill(0);
        assert_eq!(written(&mark(), &mark()), Written::Whole);
        assert_eq!(written(&torn, &mark()), Written::Partly);
        assert_eq!(written(&[0; SECTOR], &mark()), Written::Partly);
        torn[100] = 1;
        assert_eq!(written(&torn, &mark()), Written::Other);
    }
}
