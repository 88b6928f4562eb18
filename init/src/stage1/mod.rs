//! Stage 1: from the initramfs to the verified root.
//!
//! The kernel starts it as PID 1 out of the initramfs. It finds the slot whose dm-verity
//! root hash is the one on the command line, puts dm-verity over it, makes it the root and
//! becomes its /usr/sbin/init. `slot` knows a slot when it reads one; `task` does the rest.
//! It reads nothing that is not covered by the hash but superblocks, and never hangs: what
//! it can't do it says, and the machine restarts.

pub mod slot;
pub mod task;

pub use task::run;
