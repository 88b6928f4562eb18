//! The erofs superblock: enough of it to know how long an image is and where its root lies.
//!
//! Read by stage 1, which looks for its slot among all block devices, and by the builder; so
//! nothing here needs more than a few bytes. What an image holds is `writer`'s business.

/// Where the superblock lies in the image.
pub const SUPERBLOCK_OFFSET: u64 = 1024;

/// How many bytes of it [`Superblock::parse`] wants.
pub const SUPERBLOCK_LEN: usize = 128;

pub(super) const MAGIC: u32 = 0xE0F5_E1E2;

/// `EROFS_FEATURE_INCOMPAT_ZERO_PADDING`: compressed data ends with its last block.
#[cfg(feature = "author")]
pub(super) const INCOMPAT_PADDING: u32 = 1;

/// `EROFS_FEATURE_INCOMPAT_BIG_PCLUSTER`, and settings of the compression behind the superblock.
#[cfg(feature = "author")]
pub(super) const INCOMPAT_CLUSTERS: u32 = 2;

/// `EROFS_FEATURE_INCOMPAT_48BIT`: the block count has more bits, elsewhere.
const INCOMPAT_48BIT: u32 = 0x80;

/// What a machine wants to know of an erofs image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks of the image.
    pub blocks: u32,
    /// Inodes in it.
    pub inodes: u64,
    /// Seconds since 1970 that all files without a time of their own have.
    pub build_time: u64,
    /// The image's UUID.
    pub uuid: [u8; 16],
    /// Number of the root directory's inode.
    pub root: u16,
    /// The block at which inodes begin.
    pub meta_block: u32,
}

/// Why bytes are no superblock that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErofsError {
    /// Too few bytes were handed in.
    #[error("{0} bytes are too few for an erofs superblock of {SUPERBLOCK_LEN}")]
    Short(usize),
    /// Something else is there.
    #[error("no erofs superblock: the magic is {0:#010x}")]
    Magic(u32),
    /// A block size that no kernel mounts.
    #[error("erofs blocks of 2^{0} bytes")]
    BlockSize(u8),
    /// A layout newer than this code.
    #[error("erofs features {0:#x}, of which 48-bit block addresses are not supported")]
    Features(u32),
    /// Zero blocks.
    #[error("the erofs image is empty")]
    Empty,
}

impl Superblock {
    /// Reads the superblock from the bytes at [`SUPERBLOCK_OFFSET`].
    ///
    /// # Errors
    /// [`ErofsError`] says what is there instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, ErofsError> {
        let short = ErofsError::Short(bytes.len());
        let Some(bytes) = bytes.first_chunk::<SUPERBLOCK_LEN>() else { return Err(short) };
        let magic = u32_at(bytes, 0);
        if magic != MAGIC {
            return Err(ErofsError::Magic(magic));
        }
        let block_bits = bytes[12];
        if !(9..=16).contains(&block_bits) {
            return Err(ErofsError::BlockSize(block_bits));
        }
        let features = u32_at(bytes, 80);
        if features & INCOMPAT_48BIT != 0 {
            return Err(ErofsError::Features(features));
        }
        let blocks = u32_at(bytes, 36);
        if blocks == 0 {
            return Err(ErofsError::Empty);
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[48..64]);
        Ok(Self {
            block_size: 1 << block_bits,
            blocks,
            inodes: u64_at(bytes, 16),
            build_time: u64_at(bytes, 24),
            uuid,
            root: bytes[14..].first_chunk().map_or(0, |chunk| u16::from_le_bytes(*chunk)),
            meta_block: u32_at(bytes, 40),
        })
    }

    /// Bytes of the image: the offset of what comes behind it.
    #[must_use]
    pub fn image_len(&self) -> u64 {
        u64::from(self.block_size) * u64::from(self.blocks)
    }
}

fn u32_at(bytes: &[u8; SUPERBLOCK_LEN], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8; SUPERBLOCK_LEN], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn superblock() -> [u8; SUPERBLOCK_LEN] {
        let mut bytes = [0; SUPERBLOCK_LEN];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[12] = 12;
        bytes[16] = 7;
        bytes[36..40].copy_from_slice(&300_u32.to_le_bytes());
        bytes
    }

    #[test]
    fn the_length_is_blocks_times_block_size() {
        let read = Superblock::parse(&superblock()).unwrap();
        assert_eq!(read.image_len(), 300 * 4096);
        assert_eq!(read.inodes, 7);
    }

    #[test]
    fn the_largest_image_does_not_overflow() {
        let mut bytes = superblock();
        bytes[12] = 16;
        bytes[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Superblock::parse(&bytes).unwrap().image_len(), u64::from(u32::MAX) << 16);
    }

    #[test]
    fn what_is_no_erofs_is_refused_with_the_reason() {
        assert_eq!(Superblock::parse(&[0; 512]), Err(ErofsError::Magic(0)));
        assert_eq!(Superblock::parse(&[0; 12]), Err(ErofsError::Short(12)));
        let mut newer = superblock();
        newer[80] = 0x80;
        assert_eq!(Superblock::parse(&newer), Err(ErofsError::Features(0x80)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Superblock::parse(&bytes);
        }
    }
}
