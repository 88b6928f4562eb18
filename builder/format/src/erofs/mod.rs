//! erofs: the root file system of a slot, written and read.
//!
//! The image's length is where its dm-verity superblock begins, so stage 1 finds a slot without
//! any footer or label: that is all a machine wants of this module. `pack` compresses files cluster
//! by cluster, `writer` (with `layout` and `directory`) makes images of packed files, `tree` lists
//! them for size reports and `slipway inspect`. Decompressing is the kernel's business.

#[cfg(feature = "author")]
mod directory;
#[cfg(feature = "author")]
mod layout;
#[cfg(feature = "author")]
mod pack;
mod superblock;
#[cfg(feature = "author")]
mod tree;
#[cfg(feature = "author")]
mod writer;

#[cfg(feature = "author")]
pub use layout::is_inline;
#[cfg(feature = "author")]
pub use pack::{BLOCK_LEN, CLUSTER_LEN, Cluster, Packed, RECIPE, pack};
pub use superblock::{ErofsError, SUPERBLOCK_LEN, SUPERBLOCK_OFFSET, Superblock};
#[cfg(feature = "author")]
pub use tree::{Inode, Tree, TreeError};
#[cfg(feature = "author")]
pub use writer::{PackedFiles, WriteError, write};
