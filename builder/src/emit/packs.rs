//! Large files in packed form, made once per component and kept in the store.
//!
//! Packing takes most of the time of an image. A component that did not change is not packed again,
//! whatever image it goes into, so a changed small file costs a copy and the hash tree. What a
//! cluster is and how it is packed is `image_format::erofs`' business; here are threads and files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image_format::Digest;
use image_format::contents::{Checked, Contents};
use image_format::erofs::{CLUSTER_LEN, Cluster, INLINE_MAX, Packed, PackedFiles, Packer};
use image_format::manifest::{Kind, Merged};
use serde::{Deserialize, Serialize};

use crate::store::{Area, Entry, KeyHasher, Store};

/// The blocks of all files, one after the other.
const BLOCKS: &str = "blocks";
/// Which file is where among them.
const INDEX: &str = "index.json";
/// Clusters that each thread packs before what is done is written: bounds the memory.
const CLUSTERS_PER_THREAD: usize = 8;

/// Packed files, in the store.
#[derive(Debug, Default)]
pub struct Packs {
    files: BTreeMap<Digest, Place>,
}

/// Where a packed file is.
#[derive(Debug)]
struct Place {
    packed: Packed,
    blocks: PathBuf,
    offset: u64,
}

/// A line of the index.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line {
    sha256: Digest,
    offset: u64,
    clusters: Vec<Cluster>,
}

impl Packs {
    /// The packed form of every large file in `tree`; `packing` is told whose files are packed now.
    ///
    /// # Errors
    /// Contents are missing or altered, or the store cannot be written.
    pub fn of(store: &Store, tree: &Merged, contents: &dyn Contents, packing: impl Fn(&str)) -> Result<Self> {
        let mut by_owner: BTreeMap<&str, BTreeMap<Digest, u64>> = BTreeMap::new();
        for (_, node, owner) in tree.iter() {
            match node.kind {
                Kind::File { sha256, size } if size > INLINE_MAX => {
                    by_owner.entry(owner.unwrap_or_default()).or_default().insert(sha256, size);
                }
                _ => {}
            }
        }
        let mut packs = Self::default();
        for (owner, files) in by_owner {
            let directory = match store.entry(Area::Images, &key(&files), || {})? {
                Entry::Ready(directory) => directory,
                Entry::Vacant(claim) => {
                    packing(owner);
                    make(&files, contents, claim.directory())
                        .with_context(|| format!("packing the files of {owner}"))?;
                    claim.commit()?
                }
            };
            packs.add(&directory).with_context(|| format!("reading the packed files of {owner}"))?;
        }
        Ok(packs)
    }

    fn add(&mut self, directory: &Path) -> Result<()> {
        let path = directory.join(INDEX);
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let lines: Vec<Line> =
            serde_json::from_slice(&text).with_context(|| format!("parsing {}", path.display()))?;
        for Line { sha256, offset, clusters } in lines {
            let place = Place { packed: Packed { clusters }, blocks: directory.join(BLOCKS), offset };
            self.files.insert(sha256, place);
        }
        Ok(())
    }
}

impl PackedFiles for Packs {
    fn packed(&self, digest: &Digest) -> Option<Packed> {
        self.files.get(digest).map(|place| place.packed.clone())
    }

    fn blocks(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        let Some(place) = self.files.get(digest) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("nobody packed {digest}")));
        };
        let mut file = File::open(&place.blocks).map_err(|error| {
            io::Error::new(error.kind(), format!("opening {}: {error}", place.blocks.display()))
        })?;
        file.seek(SeekFrom::Start(place.offset))?;
        Ok(Box::new(file))
    }
}

fn key(files: &BTreeMap<Digest, u64>) -> Digest {
    let key = KeyHasher::new("packed 1").field("recipe", Packer::recipe());
    files.keys().fold(key, |key, digest| key.field("file", digest.as_bytes())).finish()
}

fn make(files: &BTreeMap<Digest, u64>, contents: &dyn Contents, directory: &Path) -> Result<()> {
    let path = directory.join(BLOCKS);
    let creating = || format!("creating {}", path.display());
    let mut blocks = BufWriter::with_capacity(1 << 20, File::create(&path).with_context(creating)?);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut packers = (0..threads).map(|_| Packer::new()).collect::<io::Result<Vec<_>>>()?;
    let mut lines = Vec::new();
    let mut offset = 0;
    for (sha256, size) in files {
        let mut from = Checked::open(contents, *sha256, *size)?;
        let mut clusters = Vec::new();
        let mut length = 0;
        loop {
            let batch = read_batch(&mut from, threads * CLUSTERS_PER_THREAD)?;
            if batch.is_empty() {
                break;
            }
            for (cluster, bytes) in pack(&batch, &mut packers)? {
                blocks.write_all(&bytes).with_context(creating)?;
                length += bytes.len() as u64;
                clusters.push(cluster);
            }
        }
        lines.push(Line { sha256: *sha256, offset, clusters });
        offset += length;
    }
    blocks.flush().with_context(creating)?;
    let path = directory.join(INDEX);
    std::fs::write(&path, serde_json::to_vec(&lines)?).with_context(|| format!("writing {}", path.display()))
}

/// The next clusters of a file, at most `count`; only the file's last one is short.
fn read_batch(from: &mut impl Read, count: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut batch = Vec::new();
    while batch.len() < count {
        let mut cluster = Vec::with_capacity(CLUSTER_LEN);
        from.by_ref().take(CLUSTER_LEN as u64).read_to_end(&mut cluster)?;
        if cluster.is_empty() {
            break;
        }
        batch.push(cluster);
    }
    Ok(batch)
}

/// Packs clusters, each thread its share of them; the result has their order.
fn pack(batch: &[Vec<u8>], packers: &mut [Packer]) -> io::Result<Vec<(Cluster, Vec<u8>)>> {
    let share = batch.len().div_ceil(packers.len()).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = batch
            .chunks(share)
            .zip(packers)
            .map(|(share, packer)| {
                scope.spawn(|| share.iter().map(|cluster| packer.pack(cluster)).collect::<io::Result<Vec<_>>>())
            })
            .collect();
        let mut packed = Vec::with_capacity(batch.len());
        for thread in threads {
            packed.extend(thread.join().map_err(|_| io::Error::other("a packing thread panicked"))??);
        }
        Ok(packed)
    })
}

#[cfg(test)]
mod tests {
    use image_format::manifest::Manifest;

    use super::*;
    use crate::emit::Stored;

    fn tree(contents: &mut Stored, files: &[(&str, usize)]) -> Merged {
        let mut tree = Merged::new();
        for (path, len) in files {
            let bytes: Vec<u8> = (0..*len).map(|at| (at / 3 % 251) as u8).collect();
            let node = contents.add_bytes(bytes, 0o644);
            let mut manifest = Manifest::new();
            manifest.insert(path.parse().unwrap(), node).unwrap();
            tree.add("thing", &manifest).unwrap();
        }
        tree
    }

    #[test]
    fn a_component_is_packed_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut contents = Stored::default();
        let tree = tree(&mut contents, &[("/small", 10), ("/large", 5_000_000), ("/other", 300_000)]);
        let packed = std::cell::Cell::new(0);
        let pack = || Packs::of(&store, &tree, &contents, |_| packed.set(packed.get() + 1)).unwrap();
        let (first, second) = (pack(), pack());
        assert_eq!(packed.get(), 1);
        assert_eq!(first.files.len(), 2, "small files are not packed");
        for digest in first.files.keys() {
            let mut bytes = Vec::new();
            second.blocks(digest).unwrap().read_to_end(&mut bytes).unwrap();
            assert!(bytes.len() as u64 >= u64::from(second.packed(digest).unwrap().blocks()) * 4096);
            assert_eq!(first.packed(digest), second.packed(digest));
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_what_is_packed() {
        let bytes: Vec<u8> = (0..CLUSTER_LEN * 5 + 77).map(|at| (at / 3 % 251) as u8).collect();
        let batch = read_batch(&mut &bytes[..], 100).unwrap();
        assert_eq!(batch.iter().map(Vec::len).sum::<usize>(), bytes.len());
        let with = |threads: usize| {
            let mut packers: Vec<_> = (0..threads).map(|_| Packer::new().unwrap()).collect();
            pack(&batch, &mut packers).unwrap()
        };
        assert_eq!(with(1), with(4));
    }
}
