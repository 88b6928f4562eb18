//! Byte formats of Slipway's images, readers beside writers.
//!
//! Everything here turns bytes into types or types into bytes. Nothing opens a file, walks a
//! directory or reads a clock: callers hand in readers, writers and facts. Malformed input is an
//! error, never a panic. A machine uses [`erofs`] and [`verity`] to find its slot; the rest is
//! for the builder and behind the feature `author`.

#[cfg(feature = "author")]
pub mod contents;
#[cfg(feature = "author")]
pub mod cpio;
pub mod digest;
pub mod erofs;
#[cfg(feature = "author")]
pub mod manifest;
#[cfg(feature = "author")]
pub mod oci;
#[cfg(feature = "author")]
pub mod tar;
pub mod verity;

pub use digest::Digest;
