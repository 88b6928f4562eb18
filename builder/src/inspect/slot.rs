//! A slot image: what it says it is, its superblocks, its root hash, its files.
//!
//! Every block is read and compared with the hash tree, as the machine's kernel would; so a
//! report is also a proof that the image is whole. The formats are `image_format`'s, and that
//! the root hash is the one in the index is for `artifacts` to compare.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Take};

use anyhow::{Context as _, Result};
use image_format::Digest;
use image_format::erofs::Tree;
use image_format::verity::{BLOCK_LEN, SUPERBLOCK_LEN, Superblock, root_hash_of, verify};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kind, lines};

/// Where an image says what it is.
const IMAGE_FILE: &str = "/usr/share/slipway/image.toml";

/// What a slot image holds. That there is a report means that its tree matches its data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SlotReport {
    /// What it says of itself.
    pub image: ImageFile,
    /// The verity root hash.
    pub root_hash: Digest,
    /// Where the verity superblock lies: the bytes of the file system.
    pub hash_offset: u64,
    /// Bytes of superblock and hash tree.
    pub hash_bytes: u64,
    /// The file system's UUID.
    pub uuid: uuid::Uuid,
    /// Its files.
    pub files: Vec<Entry>,
}

/// image.toml.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageFile {
    /// The role.
    pub role: String,
    /// The version.
    pub version: String,
    /// When its inputs were locked.
    pub built: String,
}

impl SlotReport {
    /// Reads the slot image and checks all of it.
    ///
    /// # Errors
    /// It is damaged; the message names the first block that does not match.
    pub(super) fn read(file: &File) -> Result<Self> {
        let hash_offset = Tree::open(BufReader::new(file))?.superblock().image_len();
        let superblock = read_superblock(file, hash_offset).context("reading the verity superblock")?;
        let root_hash = check(file, &superblock, hash_offset)?;
        // Only now: what is read below has been checked.
        let mut tree = Tree::open(BufReader::new(file))?;
        let mut files = Vec::new();
        let mut image = None;
        for (path, inode) in tree.list()? {
            if path.as_str() == IMAGE_FILE {
                let text = String::from_utf8(tree.read(&path, &inode)?).context("reading image.toml")?;
                image = Some(toml::from_str(&text).context("parsing image.toml")?);
            }
            files.push(Entry {
                path: path.to_string(),
                kind: Kind::of_mode(inode.mode),
                mode: inode.mode & 0o7777,
                uid: inode.uid,
                gid: inode.gid,
                size: inode.size,
                target: None,
            });
        }
        Ok(Self {
            image: image.with_context(|| format!("it has no {IMAGE_FILE}"))?,
            root_hash,
            hash_offset,
            hash_bytes: superblock.hash_area_len(),
            uuid: uuid::Uuid::from_bytes(tree.superblock().uuid),
            files,
        })
    }

    /// The report for people.
    pub(super) fn text(&self, all: bool) -> String {
        let ImageFile { role, version, built } = &self.image;
        let mut text = format!(
            "slot image of role {role}, version {version}, inputs of {built}\n\
             root hash    {}\n\
             file system  {} bytes, {} files, UUID {}\n\
             hash tree    {} bytes at offset {}, every block matches\n",
            self.root_hash,
            self.hash_offset,
            self.files.len(),
            self.uuid,
            self.hash_bytes,
            self.hash_offset,
        );
        if all {
            text.push_str(&lines(&self.files));
        }
        text
    }
}

fn read_superblock(mut file: &File, at: u64) -> Result<Superblock> {
    let mut bytes = [0; SUPERBLOCK_LEN];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(Superblock::parse(&bytes)?)
}

/// The root hash, once every block is known to lead to it.
fn check(mut file: &File, superblock: &Superblock, hash_offset: u64) -> Result<Digest> {
    let mut top = [0; BLOCK_LEN];
    let tree_at = superblock.top_block_offset(hash_offset);
    file.seek(SeekFrom::Start(tree_at))?;
    file.read_exact(&mut top).context("reading the hash tree's top block")?;
    let root = root_hash_of(superblock, &top);
    file.seek(SeekFrom::Start(tree_at))?;
    let mut tree = Vec::new();
    let len = superblock.hash_area_len();
    let mut rest: Take<&File> = file.take(len);
    rest.read_to_end(&mut tree).context("reading the hash tree")?;
    file.seek(SeekFrom::Start(0))?;
    verify(superblock, &root, &mut BufReader::with_capacity(1 << 20, file), &mut &tree[..])?;
    Ok(root)
}
