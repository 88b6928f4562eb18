//! What services say: cut into lines, kept in a bounded ring each.
//!
//! Nothing here blocks a service or grows without bound: what does not fit pushes the oldest
//! out. Disk, forwarding and reading from afar are not here.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod lines;
mod ring;

pub use lines::Lines;
pub use ring::Ring;
