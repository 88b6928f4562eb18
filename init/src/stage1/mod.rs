//! Stage 1: from the initramfs to the slot that the kernel command line names.
//!
//! `cmdline` reads the root hash, `slot` looks for the device that has it, `task` maps it
//! through dm-verity and moves there. Whatever goes wrong is a line on the console and a
//! reboot after ten seconds: nobody stands at the machine to see it hang.

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

mod cmdline;
mod slot;
mod task;

pub use task::run;
