//! Is this device the slot? Told from two superblocks and one hash, without reading the rest.
//!
//! A slot is an erofs image, a verity superblock right behind it, and the hash tree. The
//! salted hash of the tree's top block is the root hash, so a match here proves which image
//! it is; that every other block belongs to it is dm-verity's work, as blocks are read.

use std::io::{self, Read, Seek, SeekFrom};

use image_format::verity::{self, BLOCK_LEN, Superblock};
use image_format::{Digest, erofs};

/// Why a device is not the slot.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTheSlot {
    /// It could not be read that far.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It holds something else.
    #[error(transparent)]
    Erofs(#[from] erofs::ErofsError),
    /// It holds an image that is not verified.
    #[error(transparent)]
    Verity(#[from] verity::VerityError),
    /// The tree behind the image protects something else.
    #[error("the hash tree is for {tree} bytes, the image has {image}")]
    Length {
        /// What the tree protects.
        tree: u64,
        /// What there is.
        image: u64,
    },
    /// It is another slot.
    #[error("its root hash is {0}")]
    Other(Digest),
}

/// The verity superblock of the slot on `device`, if its root hash is `root`.
pub(super) fn examine(device: &mut (impl Read + Seek), root: &Digest) -> Result<Superblock, NotTheSlot> {
    let image =
        erofs::Superblock::parse(&read_at::<{ erofs::SUPERBLOCK_LEN }>(device, erofs::SUPERBLOCK_OFFSET)?)?;
    let block = BLOCK_LEN as u64;
    let hash_offset = image.image_len().next_multiple_of(block);
    let superblock = Superblock::parse(&read_at::<{ verity::SUPERBLOCK_LEN }>(device, hash_offset)?)?;
    if superblock.data_len() != hash_offset {
        return Err(NotTheSlot::Length { tree: superblock.data_len(), image: hash_offset });
    }
    let top = read_at::<BLOCK_LEN>(device, superblock.top_block_offset(hash_offset))?;
    match verity::root_hash_of(&superblock, &top) {
        found if found == *root => Ok(superblock),
        found => Err(NotTheSlot::Other(found)),
    }
}

fn read_at<const N: usize>(device: &mut (impl Read + Seek), at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    device.seek(SeekFrom::Start(at))?;
    device.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use image_format::verity::TreeWriter;

    use super::*;

    /// Eight blocks that begin like an erofs image, with their tree.
    fn slot() -> (Vec<u8>, Digest) {
        let mut image = vec![0; 8 * BLOCK_LEN];
        image[1024..1028].copy_from_slice(&0xE0F5_E1E2_u32.to_le_bytes());
        image[1024 + 12] = 12;
        image[1024 + 36..1024 + 40].copy_from_slice(&8_u32.to_le_bytes());
        let mut writer = TreeWriter::new(b"salt");
        writer.write_all(&image).unwrap();
        let tree = writer.finish([1; 16]).unwrap();
        image.extend(tree.superblock.to_block());
        image.extend(&tree.blocks);
        (image, tree.root)
    }

    #[test]
    fn a_slot_is_known_by_its_root_hash() {
        let (bytes, root) = slot();
        let superblock = examine(&mut Cursor::new(&bytes), &root).unwrap();
        assert_eq!(superblock.data_blocks, 8);
        let other = Digest::of(b"other");
        assert!(
            matches!(examine(&mut Cursor::new(&bytes), &other), Err(NotTheSlot::Other(found)) if found == root)
        );
    }

    #[test]
    fn whatever_else_a_device_holds_is_not_the_slot() {
        let (bytes, root) = slot();
        let not = |bytes: &[u8]| examine(&mut Cursor::new(bytes), &root).unwrap_err();
        assert!(matches!(not(&[]), NotTheSlot::Io(_)));
        assert!(matches!(not(&vec![0; 1 << 20]), NotTheSlot::Erofs(_)));
        assert!(matches!(not(&bytes[..8 * BLOCK_LEN]), NotTheSlot::Io(_)));
        let mut unverified = bytes.clone();
        unverified[8 * BLOCK_LEN] = 0;
        assert!(matches!(not(&unverified), NotTheSlot::Verity(_)));
        let mut tree = bytes;
        let last = tree.len() - 1;
        tree[last - 100] ^= 1;
        assert!(matches!(not(&tree), NotTheSlot::Other(_)));
    }
}
