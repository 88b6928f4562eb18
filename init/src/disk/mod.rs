//! The machine's own disk: which one it is, and what lies where on it.
//!
//! `facts` reads what a device holds, `layout` decides from that which disk is ours and
//! where STATE and DATA go; both are pure over bytes. `agent::storage` observes, writes,
//! formats and mounts. A disk that holds anything of somebody else's is never touched.

pub mod facts;
pub mod layout;
