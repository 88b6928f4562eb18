//! Emit: a composed root file system to the artifacts that boot.
//!
//! Each artifact has its file: `erofs` and `slot` the root file system with its verity tree,
//! `initramfs` stage 1, `artifacts` the index that labs and people read. `role` makes them all
//! once per key in the store, `publish` copies them to where the user wants them.

mod contents;
mod erofs;
mod initramfs;
mod slot;

pub use contents::Stored;
pub use erofs::Mkfs;
pub use slot::Slot;
