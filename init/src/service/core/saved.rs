//! The core as bytes: what PID 1 hands to its successor when it replaces itself.
//!
//! Everything but the table, which the successor reads from the image as PID 1 did: instances,
//! states, absolute deadlines, budgets, the record. Bytes of another version or for another
//! table are refused; then the shell adopts what runs by its groups instead.

use machine_config::service::Table;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::member::Member;
use super::services::Services;

/// The version of the layout below.
const VERSION: u16 = 1;

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
    shape: Vec<(&'a str, usize)>,
    members: &'a [Member],
    machine: &'a Machine,
}

#[derive(Deserialize)]
struct Saved {
    shape: Vec<(String, usize)>,
    members: Vec<Member>,
    machine: Machine,
}

impl Services {
    /// As bytes. Every step must have been performed: what was decided but not done is not among them.
    ///
    /// # Errors
    /// None that services in memory can cause.
    pub fn save(&self) -> Result<Vec<u8>, RestoreError> {
        let shape = self.units.iter().map(|unit| (unit.name.as_str(), unit.edges.len())).collect();
        let saving = Saving { shape, members: &self.members, machine: &self.machine };
        Ok(postcard::to_allocvec(&(VERSION, saving))?)
    }

    /// The same without the record of what happened: what is saved at every turn in case PID 1 faults. The
    /// record then begins anew, with the states and the number that it had.
    ///
    /// # Errors
    /// None that services in memory can cause.
    pub fn save_briefly(&mut self) -> Result<Vec<u8>, RestoreError> {
        let present = self.members.iter().map(|member| member.state.name()).collect();
        let brief = self.machine.journal.brief(present);
        let journal = std::mem::replace(&mut self.machine.journal, brief);
        let bytes = self.save();
        self.machine.journal = journal;
        bytes
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
        let shape = table.units.iter().map(|unit| (unit.name.as_str(), unit.edges.len()));
        let same = shape.eq(saved.shape.iter().map(|(name, edges)| (name.as_str(), *edges)));
        if !same || saved.members.len() != table.units.len() {
            return Err(RestoreError::OtherTable);
        }
        Ok(Self::of(table, saved.members, saved.machine))
    }
}
