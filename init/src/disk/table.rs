//! The partition table of a claimed disk: where STATE and DATA lie, and the bytes that say so.
//!
//! All of it follows from the claim, so that it is the same each time it is made and can be
//! compared with what a disk holds. Made in memory; the order of writes is `making`'s.

use std::io::{Read, Seek, Write};
use std::ops::Range;

use super::claim::Claim;
use super::sparse::{Sector, Sparse};

/// The label of STATE, as partition and as file system.
pub const STATE_LABEL: &str = "slipway-state";
/// The label of DATA.
pub const DATA_LABEL: &str = "slipway-data";
/// The smallest disk that is worth having: STATE, and room for DATA.
pub const SMALLEST_DISK_BYTES: u64 = 128 << 20;
/// STATE: configs, keys and identities take kilobytes.
pub const STATE_BYTES: u64 = 64 << 20;
/// The partition type "Linux filesystem data", 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as on disk.
const LINUX_DATA: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];

/// Why there is no table for a disk.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The table itself.
    #[error("laying out the partition table: {0}")]
    Table(#[from] gptman::Error),
    /// A disk that is too small, or has strange sectors.
    #[error("laying out the partition table: a disk of {0} bytes in sectors of {1}")]
    Geometry(u64, u32),
    /// No room for a partition.
    #[error("laying out the partition table: no room for {0}")]
    NoRoom(&'static str),
    /// Writing, which memory does not refuse.
    #[error("laying out the partition table: {0}")]
    Write(#[from] std::io::Error),
}

/// A table that is to be written, or was.
#[derive(Debug, Clone)]
pub struct Table {
    image: Sparse,
    /// The bytes of STATE.
    pub state: Range<u64>,
    /// The bytes of DATA.
    pub data: Range<u64>,
}

impl Table {
    /// The table that `claim` speaks of: STATE, then DATA in all the rest.
    ///
    /// # Errors
    /// [`TableError`] when the disk is too small for it.
    pub fn of(claim: &Claim) -> Result<Self, TableError> {
        // A claim may come from a disk, and gptman's arithmetic expects a sensible one.
        if claim.bytes < SMALLEST_DISK_BYTES || !matches!(claim.sector_bytes, 512 | 4096) {
            return Err(TableError::Geometry(claim.bytes, claim.sector_bytes));
        }
        let mut image = Sparse::new(claim.bytes);
        let sector_bytes = u64::from(claim.sector_bytes);
        let [disk_guid, state_guid, data_guid] = claim.guids;
        let mut table = gptman::GPT::new_from(&mut image, sector_bytes, disk_guid)?;
        let sectors = STATE_BYTES.checked_div(sector_bytes).unwrap_or(0);
        let state = table.find_first_place(sectors).ok_or(TableError::NoRoom(STATE_LABEL))?;
        set(&mut table, 1, STATE_LABEL, state_guid, state, sectors);
        let rest = table.get_maximum_partition_size()?;
        let data = table.find_first_place(rest).ok_or(TableError::NoRoom(DATA_LABEL))?;
        set(&mut table, 2, DATA_LABEL, data_guid, data, rest);
        write(&mut table, &mut image, sector_bytes)?;
        let bytes = |start: u64, sectors: u64| {
            let start = start.saturating_mul(sector_bytes);
            start..start.saturating_add(sectors.saturating_mul(sector_bytes))
        };
        Ok(Self { image, state: bytes(state, sectors), data: bytes(data, rest) })
    }

    /// The sector at `at`, if it is not zero.
    #[must_use]
    pub fn sector(&self, at: u64) -> Option<&Sector> {
        self.image.sector(at)
    }

    /// The sectors that are not zero, by their places.
    pub fn sectors(&self) -> impl Iterator<Item = (u64, &Sector)> {
        self.image.sectors()
    }
}

fn write(
    table: &mut gptman::GPT,
    disk: &mut (impl Read + Write + Seek),
    sector_bytes: u64,
) -> Result<(), TableError> {
    table.write_into(disk)?;
    gptman::GPT::write_protective_mbr_into(disk, sector_bytes)?;
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

    fn claim(bytes: u64, sector_bytes: u32) -> Claim {
        Claim { bytes, sector_bytes, guids: [[1; 16], [2; 16], [3; 16]] }
    }

    #[test]
    fn state_and_data_fill_the_disk_from_an_aligned_beginning() {
        for sector_bytes in [512, 4096] {
            let mut table = Table::of(&claim(1 << 30, sector_bytes)).unwrap();
            assert_eq!(table.state.end - table.state.start, STATE_BYTES);
            assert_eq!(table.state.start % (1 << 20), 0);
            assert_eq!(table.data.start, table.state.end);
            // gptman aligns to 2048 sectors, whatever their size.
            assert!((1 << 30) - table.data.end <= 2048 * u64::from(sector_bytes), "{:?}", table.data);
            let found = gptman::GPT::find_from(&mut table.image).unwrap();
            assert_eq!(found[1].partition_name.as_str(), STATE_LABEL);
            assert_eq!(found[2].partition_name.as_str(), DATA_LABEL);
        }
    }

    #[test]
    fn one_claim_gives_one_table() {
        let sectors = |claim: &Claim| {
            Table::of(claim).unwrap().sectors().map(|(at, sector)| (at, *sector)).collect::<Vec<_>>()
        };
        assert_eq!(sectors(&claim(1 << 30, 512)), sectors(&claim(1 << 30, 512)));
        assert_ne!(sectors(&claim(1 << 30, 512)), sectors(&claim(1 << 31, 512)));
    }

    #[test]
    fn a_disk_without_room_has_no_table() {
        assert!(Table::of(&claim(32 << 20, 512)).is_err());
        assert!(Table::of(&claim(0, 512)).is_err());
        assert!(Table::of(&claim(1 << 30, 0)).is_err());
        assert!(Table::of(&claim(SMALLEST_DISK_BYTES, 512)).is_ok());
    }
}
