//! Large files in packed form, each made once and kept in the store.
//!
//! Packing takes most of the time of an image. A file that did not change is not packed again,
//! whatever component or image it is in, so a changed file costs its own packing, a copy of the
//! others and the hash tree. `pool` has the threads, `image_format::erofs` knows how to pack.
//!
//! A pack is a directory of the store, `packs/KEY`, with the blocks and an index that says what
//! they are: they are hashed whenever they go into an image, and by `slipway fetch --verify`.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image_format::Digest;
use image_format::contents::{Checked, Contents};
use image_format::erofs::{self, BLOCK_LEN, CLUSTER_LEN, Packed, PackedFiles};
use image_format::manifest::{ImagePath, Kind, Manifest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::pool;
use crate::store::{Area, Claim, Entry, KeyHasher, Store};

/// The blocks of all clusters, one after the other.
const BLOCKS: &str = "blocks";
/// What they are.
const INDEX: &str = "index.json";
/// Clusters that each thread packs before what is done is written: bounds the memory.
const CLUSTERS_PER_THREAD: usize = 16;

/// Packed files, in the store.
#[derive(Debug, Default)]
pub struct Packs {
    files: BTreeMap<Digest, Pack>,
}

/// One packed file.
#[derive(Debug)]
struct Pack {
    index: Index,
    blocks: PathBuf,
}

/// The index of a pack.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Index {
    /// Of the blocks.
    sha256: Digest,
    clusters: Packed,
}

/// What a pack in the store turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Health {
    /// As it was made.
    Sound,
    /// Not so; what is wrong with it.
    Damaged(String),
}

/// A large file of a manifest.
#[derive(Debug, Clone, Copy)]
struct Large<'a> {
    path: &'a ImagePath,
    sha256: Digest,
    size: u64,
}

/// A pack that is being made.
struct Making {
    sha256: Digest,
    claim: Claim,
    blocks: BufWriter<File>,
    hash: Sha256,
    clusters: Packed,
}

impl Packs {
    /// The packed form of every large file of `manifest`; `packing` is told what is packed now.
    ///
    /// # Errors
    /// Contents are missing or altered, or the store cannot be written.
    pub fn of(
        store: &Store,
        manifest: &Manifest,
        contents: &dyn Contents,
        packing: impl Fn(&ImagePath),
    ) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(store, manifest, contents, packing, threads)
    }

    fn with_threads(
        store: &Store,
        manifest: &Manifest,
        contents: &dyn Contents,
        packing: impl Fn(&ImagePath),
        threads: usize,
    ) -> Result<Self> {
        let mut wanted = BTreeMap::new();
        for (path, node) in manifest.iter() {
            match node.kind {
                Kind::File { sha256, size } if !erofs::is_inline(node) => {
                    wanted.entry(sha256).or_insert(Large { path, sha256, size });
                }
                _ => {}
            }
        }
        let mut packs = Self::default();
        let mut line = Line { batch: Vec::new(), making: VecDeque::new(), threads, packs: &mut packs };
        // In the order of digests: two processes that wait for each other's files wait in one direction only.
        for large in wanted.into_values() {
            match store.entry(Area::Packs, &key(&large.sha256), || {})? {
                Entry::Ready(directory) => line.packs.add(large.sha256, &directory)?,
                Entry::Vacant(claim) => {
                    packing(large.path);
                    line.add(large, claim, contents).with_context(|| format!("packing {}", large.path))?;
                }
            }
        }
        line.pack()?;
        Ok(packs)
    }

    fn add(&mut self, sha256: Digest, directory: &Path) -> Result<()> {
        let index = Index::read(directory)?;
        self.files.insert(sha256, Pack { index, blocks: directory.join(BLOCKS) });
        Ok(())
    }
}

/// Files on their way into packs: clusters of many small files are packed at once, as those of one
/// large file are.
struct Line<'a> {
    /// Clusters to be packed, each a piece of the file that is so many places into `making`.
    batch: Vec<(usize, Vec<u8>)>,
    /// Files of which all clusters but those of the batch are written.
    making: VecDeque<Making>,
    threads: usize,
    packs: &'a mut Packs,
}

impl Line<'_> {
    /// Reads a file into the batch, and packs whenever that is full.
    fn add(&mut self, large: Large, claim: Claim, contents: &dyn Contents) -> Result<()> {
        let mut from = Checked::open(contents, large.sha256, large.size)?;
        self.making.push_back(Making::new(large.sha256, claim)?);
        loop {
            let mut cluster = Vec::with_capacity(CLUSTER_LEN);
            from.by_ref().take(CLUSTER_LEN as u64).read_to_end(&mut cluster)?;
            if cluster.is_empty() {
                return Ok(());
            }
            self.batch.push((self.making.len() - 1, cluster));
            if self.batch.len() >= self.threads * CLUSTERS_PER_THREAD {
                self.pack_batch()?;
                self.finish_all_but(1)?;
            }
        }
    }

    /// Packs what is left.
    fn pack(mut self) -> Result<()> {
        self.pack_batch()?;
        self.finish_all_but(0)
    }

    fn pack_batch(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let packed = pool::map(&batch, self.threads, |(_, cluster)| erofs::pack(cluster))?;
        for ((file, _), packed) in batch.iter().zip(packed) {
            let (cluster, bytes) = packed?;
            let making = self.making.get_mut(*file).context("finding whose cluster this is")?;
            making.hash.update(&bytes);
            making.blocks.write_all(&bytes).context("writing a pack")?;
            making.clusters.clusters.push(cluster);
        }
        Ok(())
    }

    /// Puts finished packs in place. Of the last one in line there may be more to come.
    fn finish_all_but(&mut self, left: usize) -> Result<()> {
        while self.making.len() > left {
            let Some(making) = self.making.pop_front() else { break };
            let sha256 = making.sha256;
            let directory = making.finish()?;
            self.packs.add(sha256, &directory)?;
        }
        Ok(())
    }
}

impl Making {
    fn new(sha256: Digest, claim: Claim) -> Result<Self> {
        let path = claim.directory().join(BLOCKS);
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let blocks = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { sha256, claim, blocks, hash: Sha256::new(), clusters: Packed::default() })
    }

    fn finish(mut self) -> Result<PathBuf> {
        self.blocks.flush().context("writing a pack")?;
        let index =
            Index { sha256: Digest::from_bytes(self.hash.finalize().into()), clusters: self.clusters };
        let path = self.claim.directory().join(INDEX);
        std::fs::write(&path, serde_json::to_vec(&index)?)
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(self.claim.commit()?)
    }
}

impl Index {
    fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(INDEX);
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| {
            format!("parsing {}: `slipway fetch --verify` moves damaged packs aside", path.display())
        })
    }

    fn len(&self) -> u64 {
        u64::from(self.clusters.blocks()) * BLOCK_LEN as u64
    }
}

fn key(sha256: &Digest) -> Digest {
    KeyHasher::new("pack 1").field("recipe", erofs::RECIPE).field("file", sha256.as_bytes()).finish()
}

/// Hashes a pack anew.
///
/// # Errors
/// The file system said no.
pub fn verify(directory: &Path) -> Result<Health> {
    let damaged = |error: anyhow::Error| Ok(Health::Damaged(format!("{error:#}")));
    let pack = match Index::read(directory) {
        Ok(index) => Pack { index, blocks: directory.join(BLOCKS) },
        Err(error) => return damaged(error),
    };
    match pack.open().and_then(|mut blocks| io::copy(&mut blocks, &mut io::sink())) {
        Ok(_) => Ok(Health::Sound),
        Err(error) => damaged(error.into()),
    }
}

/// The blocks, as the only contents it has.
impl Contents for Pack {
    fn open(&self, _: &Digest) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(&self.blocks)?))
    }
}

impl Pack {
    fn open(&self) -> io::Result<Blocks<'_>> {
        let checked = Checked::open(self, self.index.sha256, self.index.len());
        Ok(Blocks { from: checked.map_err(|error| self.at(&error))?, pack: self })
    }

    fn at(&self, error: &io::Error) -> io::Error {
        let path = self.blocks.display();
        let hint = "`slipway fetch --verify` moves damaged packs aside";
        io::Error::new(error.kind(), format!("reading {path}: {error}: {hint}"))
    }
}

/// Reads blocks; an error says whose.
struct Blocks<'a> {
    from: Checked<'a>,
    pack: &'a Pack,
}

impl Read for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer).map_err(|error| self.pack.at(&error))
    }
}

impl PackedFiles for Packs {
    fn packed(&self, digest: &Digest) -> Option<Packed> {
        self.files.get(digest).map(|pack| pack.index.clusters.clone())
    }

    fn blocks(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        match self.files.get(digest) {
            Some(pack) => Ok(Box::new(BufReader::with_capacity(1 << 16, pack.open()?))),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("nobody packed {digest}"))),
        }
    }
}

#[cfg(test)]
mod tests;
