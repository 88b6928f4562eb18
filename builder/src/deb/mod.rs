//! Debian's packages: from a signed suite to files.
//!
//! `release` verifies a suite's InRelease, `index` reads its Packages, `relation` is the grammar of
//! dependencies, `resolve` computes closures; these serve `slipway lock` alone. `archive` reads
//! one .deb and `tree` unpacks a closure into the store, with a `listing` of what it should hold. No
//! maintainer script ever runs.

pub mod archive;
pub mod index;
pub mod listing;
pub mod relation;
pub mod release;
pub mod resolve;
pub mod tree;

pub use archive::{DebEntry, DebEntryKind, DebError, read_files};
pub use listing::{TreeHealth, verify_tree};
pub use tree::{unpack_closure, unpack_packages};
