//! erofs, read only: how long an image is, and what is in it.
//!
//! The image's length is where its dm-verity superblock begins, so stage 1 finds a slot without
//! any footer or label. `tree` lists an image for size reports and `slipway inspect`. Writing erofs
//! is mkfs.erofs' job, decompressing the kernel's; neither is here.

mod superblock;
#[cfg(feature = "author")]
mod tree;

pub use superblock::{ErofsError, SUPERBLOCK_LEN, SUPERBLOCK_OFFSET, Superblock};
#[cfg(feature = "author")]
pub use tree::{Inode, Tree, TreeError};
