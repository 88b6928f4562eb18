//! The machine's own disk: which one it is, and what lies where on it.
//!
//! `facts` reads what a device holds, `layout` decides from that which disk is ours, `claim`,
//! `table` and `making` are what is written to a blank one and in which order, `volume` is
//! what becomes of STATE and DATA. All of it is pure over bytes; `agent::storage` observes,
//! writes, formats and mounts. A disk that holds anything of somebody else's is never touched.

pub mod claim;
pub mod facts;
pub mod layout;
pub mod making;
pub mod sparse;
pub mod table;
pub mod volume;

#[cfg(test)]
mod power_cuts;
