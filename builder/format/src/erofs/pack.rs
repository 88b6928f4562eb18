//! A file's contents cut into clusters, each compressed by itself into whole blocks.
//!
//! A cluster is what the kernel reads and decompresses at once. Clusters have a fixed length before
//! compression, so a file's packed form depends on its bytes alone: it can be made once and used in
//! every image that holds the file. Pure; who reads files and keeps packed ones is the builder.

use std::io;

use serde::{Deserialize, Serialize};

/// Bytes of a block: the unit of everything on disk.
pub const BLOCK_LEN: usize = 4096;

/// Bytes of a cluster before compression. Measured on the worker's slot, 212 MiB of files, and the
/// CPU of User-mode Linux booting and reading all of them once:
///
/// | | slot | CPU |
/// |---|---|---|
/// | mkfs.erofs, lz4hc 12 to 256 KiB | 88.0 MiB | 3.3 to 4.0 s |
/// | zstd, 64 KiB | 77.8 MiB | 1.6 s |
/// | zstd, 128 KiB | 72.0 MiB | 1.5 s |
/// | zstd, 256 KiB | 68.4 MiB | 1.4 s |
///
/// Reading all is what large clusters like best. A boot pages programs in piecemeal, and the kernel's
/// readahead is 128 KiB: with clusters of that length little is decompressed that nobody asked for.
/// (Until the worker was Ready, one quiet run each, four machines took 17.7, 16.9 and 17.2 s of CPU
/// with zstd in that order, and 22 to 24 s with lz4.)
pub const CLUSTER_LEN: usize = 128 * 1024;

/// zstd's level: a file is packed once, at some 10 MB a second and core. How fast the kernel
/// decompresses does not depend on it.
const LEVEL: i32 = 15;

/// What decides the bytes of packed clusters: part of the key of whatever keeps them. Clusters of
/// another length or level, or a zstd that packs otherwise, need another text.
pub const RECIPE: &str = "zstd 15 of 128 KiB";

/// How the clusters of a file lie in blocks, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// The clusters in order.
    pub clusters: Vec<Cluster>,
}

/// One cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cluster {
    /// As it is, in so many blocks.
    Plain(u16),
    /// Compressed with zstd, in so many blocks.
    Zstd(u16),
}

impl Cluster {
    /// Its blocks on disk.
    #[must_use]
    pub fn blocks(self) -> u16 {
        match self {
            Self::Plain(blocks) | Self::Zstd(blocks) => blocks,
        }
    }
}

impl Packed {
    /// Blocks of all clusters.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.clusters.iter().map(|cluster| u32::from(cluster.blocks())).fold(0, u32::saturating_add)
    }

    /// Whether nothing of it is compressed.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.clusters.iter().all(|cluster| matches!(cluster, Cluster::Plain(_)))
    }

    /// Whether it can be the packed form of a file of `size` bytes.
    #[must_use]
    pub(super) fn fits(&self, size: u64) -> bool {
        self.clusters.len() as u64 == size.div_ceil(CLUSTER_LEN as u64)
            && self.clusters.iter().enumerate().all(|(at, cluster)| {
                let raw = raw_blocks(size, at);
                match *cluster {
                    Cluster::Plain(blocks) => u64::from(blocks) == raw,
                    Cluster::Zstd(blocks) => blocks > 0 && u64::from(blocks) < raw,
                }
            })
    }
}

/// Blocks that the `at`-th cluster of a file of `size` bytes has before compression.
pub(super) fn raw_blocks(size: u64, at: usize) -> u64 {
    let before = (at as u64).saturating_mul(CLUSTER_LEN as u64);
    size.saturating_sub(before).min(CLUSTER_LEN as u64).div_ceil(BLOCK_LEN as u64)
}

/// Packs one cluster of at most [`CLUSTER_LEN`] bytes; the bytes are whole blocks.
///
/// zstd starts afresh for each: what a thread has packed before has no say in the bytes.
///
/// # Errors
/// The cluster is too long, or zstd's own.
pub fn pack(cluster: &[u8]) -> io::Result<(Cluster, Vec<u8>)> {
    let raw = cluster.len().div_ceil(BLOCK_LEN);
    let count = |blocks: usize| match u16::try_from(blocks) {
        Ok(count) if cluster.len() <= CLUSTER_LEN => Ok(count),
        _ => Err(io::Error::other(format!("a cluster of {} bytes", cluster.len()))),
    };
    let compressed = zstd::bulk::compress(cluster, LEVEL)?;
    let blocks = compressed.len().div_ceil(BLOCK_LEN);
    if blocks < raw {
        // Padding goes in front: it lets the kernel decompress in place.
        let mut bytes = vec![0; blocks * BLOCK_LEN - compressed.len()];
        bytes.extend(compressed);
        return Ok((Cluster::Zstd(count(blocks)?), bytes));
    }
    let mut bytes = cluster.to_vec();
    bytes.resize(raw * BLOCK_LEN, 0);
    Ok((Cluster::Plain(count(raw)?), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_compress_by_a_block_stays_as_it_is() {
        assert_eq!(pack(&[7; 5000]).unwrap().0, Cluster::Zstd(1));
        let (cluster, bytes) = pack(&[7; 4000]).unwrap();
        assert_eq!((cluster, bytes.len()), (Cluster::Plain(1), 4096));
        assert_eq!(bytes[..4000], [7; 4000]);
    }

    #[test]
    fn compressed_data_ends_with_its_last_block() {
        let cluster: Vec<u8> = (0..CLUSTER_LEN).map(|at| (at / 100) as u8).collect();
        let (kind, bytes) = pack(&cluster).unwrap();
        assert_eq!(bytes.len(), usize::from(kind.blocks()) * BLOCK_LEN);
        let start = bytes.iter().position(|byte| *byte != 0).unwrap();
        assert!(start < BLOCK_LEN);
        assert_eq!(zstd::bulk::decompress(&bytes[start..], CLUSTER_LEN).unwrap(), cluster);
    }

    #[test]
    fn a_packed_file_fits_its_own_size_only() {
        let packed = Packed { clusters: vec![Cluster::Zstd(3), Cluster::Plain(2)] };
        assert!(packed.fits(CLUSTER_LEN as u64 + 5000));
        assert!(!packed.fits(CLUSTER_LEN as u64 + 4000));
        assert!(!packed.fits(CLUSTER_LEN as u64));
        assert!(!Packed { clusters: vec![Cluster::Zstd(32)] }.fits(CLUSTER_LEN as u64));
    }
}
