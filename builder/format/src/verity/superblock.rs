//! The verity superblock and the arithmetic of what lies where behind it.
//!
//! Version 1, hash type 1 (salt first), sha256, blocks of 4 KiB: what we write is all that is
//! read. The layout below the superblock is the kernel's: tree levels from the top down, each
//! block 128 digests.

use super::BLOCK_LEN;

/// Bytes of the superblock; the rest of its hash block is zero.
pub const SUPERBLOCK_LEN: usize = 512;

const SIGNATURE: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &[u8; 6] = b"sha256";
const SALT_MAX: usize = 256;
/// Digests in a hash block.
const FANOUT: u64 = (BLOCK_LEN / 32) as u64;

/// A verity superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// UUID of the verity device.
    pub uuid: [u8; 16],
    /// How many blocks of [`BLOCK_LEN`] bytes are protected.
    pub data_blocks: u64,
    /// What is hashed before each block.
    pub salt: Vec<u8>,
}

/// Why bytes are no verity superblock that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerityError {
    /// Too few bytes were handed in.
    #[error("{0} bytes are too few for a verity superblock of {SUPERBLOCK_LEN}")]
    Short(usize),
    /// Something else is there.
    #[error("no verity superblock: the signature is missing")]
    Signature,
    /// A version or hash type that we never write.
    #[error("verity superblock version {version}, hash type {hash_type}; both must be 1")]
    Version {
        /// As found.
        version: u32,
        /// As found.
        hash_type: u32,
    },
    /// Another hash than sha256.
    #[error("verity hash algorithm {0:?}, not sha256")]
    Algorithm(String),
    /// Other blocks than 4 KiB.
    #[error("verity blocks of {data} and {hash} bytes, not {BLOCK_LEN}")]
    BlockSize {
        /// Of the data.
        data: u32,
        /// Of the tree.
        hash: u32,
    },
    /// More salt than there is room for.
    #[error("verity salt of {0} bytes, more than {SALT_MAX}")]
    Salt(usize),
    /// So few or so many blocks that there is no tree.
    #[error("{0} data blocks have no verity tree")]
    DataBlocks(u64),
}

impl Superblock {
    /// Reads the superblock from the bytes where it lies.
    ///
    /// # Errors
    /// [`VerityError`] says what is there instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, VerityError> {
        let short = VerityError::Short(bytes.len());
        let Some(bytes) = bytes.first_chunk::<SUPERBLOCK_LEN>() else { return Err(short) };
        if &bytes[..8] != SIGNATURE {
            return Err(VerityError::Signature);
        }
        let (version, hash_type) = (u32_at(bytes, 8), u32_at(bytes, 12));
        if version != 1 || hash_type != 1 {
            return Err(VerityError::Version { version, hash_type });
        }
        let algorithm = bytes[32..64].split(|byte| *byte == 0).next().unwrap_or_default();
        if algorithm != ALGORITHM {
            return Err(VerityError::Algorithm(String::from_utf8_lossy(algorithm).into_owned()));
        }
        let (data, hash) = (u32_at(bytes, 64), u32_at(bytes, 68));
        if [data, hash].iter().any(|len| *len as usize != BLOCK_LEN) {
            return Err(VerityError::BlockSize { data, hash });
        }
        let data_blocks = bytes[72..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
        let salt_len = bytes[80..].first_chunk().map_or(0, |chunk| usize::from(u16::from_le_bytes(*chunk)));
        let salt = bytes[88..88 + SALT_MAX].get(..salt_len).ok_or(VerityError::Salt(salt_len))?.to_vec();
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        Self { uuid, data_blocks, salt }.checked()
    }

    /// Itself, if there is a tree for it.
    ///
    /// # Errors
    /// [`VerityError::DataBlocks`] and [`VerityError::Salt`].
    pub fn checked(self) -> Result<Self, VerityError> {
        // A single block has no tree (its hash is the root), and 2^50 blocks are 4 EiB: every
        // offset below stays inside u64.
        if !(2..=1 << 50).contains(&self.data_blocks) {
            return Err(VerityError::DataBlocks(self.data_blocks));
        }
        if self.salt.len() > SALT_MAX {
            return Err(VerityError::Salt(self.salt.len()));
        }
        Ok(self)
    }

    /// The superblock's hash block: its bytes, padded with zeros to [`BLOCK_LEN`].
    #[must_use]
    pub fn to_block(&self) -> Vec<u8> {
        let salt = &self.salt[..self.salt.len().min(SALT_MAX)];
        let mut block = Vec::with_capacity(BLOCK_LEN);
        block.extend_from_slice(SIGNATURE);
        block.extend_from_slice(&1_u32.to_le_bytes());
        block.extend_from_slice(&1_u32.to_le_bytes());
        block.extend_from_slice(&self.uuid);
        block.extend_from_slice(ALGORITHM);
        block.resize(64, 0);
        block.extend_from_slice(&(BLOCK_LEN as u32).to_le_bytes());
        block.extend_from_slice(&(BLOCK_LEN as u32).to_le_bytes());
        block.extend_from_slice(&self.data_blocks.to_le_bytes());
        block.extend_from_slice(&(salt.len() as u16).to_le_bytes());
        block.resize(88, 0);
        block.extend_from_slice(salt);
        block.resize(BLOCK_LEN, 0);
        block
    }

    /// Bytes of the protected data; in a slot, the superblock's own offset.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        self.data_blocks * BLOCK_LEN as u64
    }

    /// Blocks of each level of the tree, from the one over the data up to the single top block.
    #[must_use]
    pub fn levels(&self) -> Vec<u64> {
        let mut levels = Vec::new();
        let mut below = self.data_blocks;
        while below > 1 {
            below = below.div_ceil(FANOUT);
            levels.push(below);
        }
        levels
    }

    /// Bytes of superblock and tree together.
    #[must_use]
    pub fn hash_area_len(&self) -> u64 {
        (1 + self.levels().iter().sum::<u64>()) * BLOCK_LEN as u64
    }

    /// Where the tree's top block lies when the superblock lies at `hash_offset`.
    #[must_use]
    pub fn top_block_offset(&self, hash_offset: u64) -> u64 {
        hash_offset + BLOCK_LEN as u64
    }

    /// The parameters of a device-mapper `verity` target over `device` (as `MAJOR:MINOR` or a
    /// path) that holds both data and, right behind it, this superblock and its tree.
    #[must_use]
    pub fn table(&self, device: &str, root: &crate::Digest, options: &[&str]) -> String {
        let hash_start = self.data_blocks + 1;
        let mut salt: String = self.salt.iter().map(|byte| format!("{byte:02x}")).collect();
        if salt.is_empty() {
            salt.push('-');
        }
        let mut table = format!(
            "1 {device} {device} {BLOCK_LEN} {BLOCK_LEN} {} {hash_start} sha256 {root} {salt}",
            self.data_blocks
        );
        if !options.is_empty() {
            table.push_str(&format!(" {} {}", options.len(), options.join(" ")));
        }
        table
    }
}

fn u32_at(bytes: &[u8; SUPERBLOCK_LEN], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn superblock(data_blocks: u64) -> Superblock {
        Superblock { uuid: [7; 16], data_blocks, salt: vec![0xab; 32] }
    }

    #[test]
    fn levels_shrink_by_the_fanout_up_to_one_block() {
        assert_eq!(superblock(2).levels(), [1]);
        assert_eq!(superblock(128).levels(), [1]);
        assert_eq!(superblock(129).levels(), [2, 1]);
        assert_eq!(superblock(128 * 128 + 1).levels(), [129, 2, 1]);
    }

    #[test]
    fn a_single_block_has_no_tree_and_is_refused() {
        assert_eq!(superblock(1).checked(), Err(VerityError::DataBlocks(1)));
        assert_eq!(superblock(u64::MAX).checked(), Err(VerityError::DataBlocks(u64::MAX)));
    }

    #[test]
    fn a_table_names_the_tree_right_behind_the_superblock() {
        let root = crate::Digest::from_bytes([0x11; 32]);
        let table = superblock(10).table("254:0", &root, &["panic_on_corruption"]);
        let salt = "ab".repeat(32);
        let root = "11".repeat(32);
        assert_eq!(
            table,
            format!("1 254:0 254:0 4096 4096 10 11 sha256 {root} {salt} 1 panic_on_corruption")
        );
    }

    #[test]
    fn each_fault_of_a_superblock_has_its_reason() {
        let good = superblock(10).to_block();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Superblock::parse(&bytes).unwrap_err()
        };
        assert_eq!(with(0, 0), VerityError::Signature);
        assert_eq!(with(8, 2), VerityError::Version { version: 2, hash_type: 1 });
        assert_eq!(with(37, b'5'), VerityError::Algorithm("sha255".into()));
        assert_eq!(with(65, 2), VerityError::BlockSize { data: 512, hash: 4096 });
        assert_eq!(with(81, 2), VerityError::Salt(544));
        assert_eq!(Superblock::parse(&good[..100]), Err(VerityError::Short(100)));
    }

    proptest! {
        #[test]
        fn a_superblock_reads_back(
            uuid: [u8; 16], data_blocks in 2_u64..1 << 50, salt in proptest::collection::vec(any::<u8>(), 0..=256)
        ) {
            let written = Superblock { uuid, data_blocks, salt };
            prop_assert_eq!(Superblock::parse(&written.to_block()).unwrap(), written);
        }

        #[test]
        fn any_bytes_are_read_or_refused(tail in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut bytes = SIGNATURE.to_vec();
            bytes.extend(tail);
            if let Ok(read) = Superblock::parse(&bytes) {
                prop_assert!(read.hash_area_len() > 0);
            }
        }
    }
}
