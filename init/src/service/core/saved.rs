//! The core as bytes: what PID 1 hands to its successor when it replaces itself.
//!
//! Everything but the table, which the successor reads from the image as PID 1 did: instances,
//! states, absolute deadlines, budgets, the record. Bytes of another version or for another
//! table are refused; then the shell adopts what runs by its groups instead.

use machine_config::service::{Table, Unit};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::member::Member;
use super::services::Services;

/// The version of the layout below.
const VERSION: u16 = 3;

/// Why bytes are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Not this version's.
    #[error("the saved state has version {0}, this init reads {VERSION}")]
    Version(u16),
    /// Of other services.
    #[error("the saved state is of other services than the table")]
    OtherTable,
    /// Not ours.
    #[error("the saved state is not decodable: {0}")]
    Encoding(#[from] postcard::Error),
}

#[derive(Serialize)]
struct Saving<'a> {
    shape: u32,
    members: &'a [Member],
    machine: &'a Machine,
}

#[derive(Deserialize)]
struct Saved {
    shape: u32,
    members: Vec<Member>,
    machine: Machine,
}

/// What services and edges there are, as a number: the same state means something else elsewhere.
pub(super) fn shape(units: &[Unit]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for unit in units {
        sum.update(unit.name.as_str().as_bytes());
        sum.update(&[0]);
        sum.update(&unit.edges.len().to_le_bytes());
    }
    sum.finalize()
}

impl Services {
    /// As bytes. Every step must have been performed: what was decided but not done is not among them.
    ///
    /// # Errors
    /// None that services in memory can cause.
    pub fn save(&self) -> Result<Vec<u8>, RestoreError> {
        let saving = Saving { shape: self.shape, members: &self.members, machine: &self.machine };
        Ok(postcard::to_allocvec(&(VERSION, saving))?)
    }

    /// Adds the same to `bytes` without the record of what happened: what is saved at every turn in case PID 1
    /// faults. The record then begins anew, with the states and the number that it had.
    ///
    /// # Errors
    /// None that services in memory can cause.
    pub fn save_briefly(&mut self, bytes: &mut Vec<u8>) -> Result<(), RestoreError> {
        bytes.extend(postcard::to_allocvec(&(VERSION, self.shape))?);
        self.members.encode(bytes, Member::clone)?;
        let present = self.members.iter().map(|member| member.state.name()).collect();
        let brief = self.machine.journal.brief(present);
        let journal = std::mem::replace(&mut self.machine.journal, brief);
        let machine = postcard::to_allocvec(&self.machine);
        self.machine.journal = journal;
        bytes.extend(machine?);
        Ok(())
    }

    /// From bytes. Nothing is started or stopped by it.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn restore(table: Table, bytes: &[u8]) -> Result<Self, RestoreError> {
        let (version, rest) = postcard::take_from_bytes::<u16>(bytes)?;
        if version != VERSION {
            return Err(RestoreError::Version(version));
        }
        let saved: Saved = postcard::from_bytes(rest)?;
        if shape(&table.units) != saved.shape || saved.members.len() != table.units.len() {
            return Err(RestoreError::OtherTable);
        }
        Ok(Self::of(table, saved.members, saved.machine))
    }
}
