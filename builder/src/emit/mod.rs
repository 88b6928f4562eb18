//! Emit: a root file system to slot image, initramfs and what goes with them.
