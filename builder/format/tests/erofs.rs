//! Images that we write, read back by our own reader: every kind of node at every border of the format.
//!
//! `builder/tests/erofs.rs` has the outside judges; what is here needs nothing but this crate.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use image_format::Digest;
use image_format::erofs::{CLUSTER_LEN, Cluster, Inode, Packed, PackedFiles, Tree, WriteError, pack, write};
use image_format::manifest::{ImagePath, Kind, Manifest, Node};
use proptest::prelude::*;

/// The largest file that lies behind a short inode in its block, and behind a long one.
const INLINE_MAX: usize = 4096 - 32;
const LONG_INLINE_MAX: usize = 4096 - 64;

/// Packed files in memory.
#[derive(Debug, Default)]
struct Files(BTreeMap<Digest, (Packed, Vec<u8>)>);

impl Files {
    fn of(contents: &BTreeMap<Digest, Vec<u8>>) -> Self {
        let mut files = Self::default();
        for (digest, bytes) in contents.iter().filter(|(_, bytes)| bytes.len() > LONG_INLINE_MAX) {
            let (mut packed, mut blocks) = (Packed::default(), Vec::new());
            for cluster in bytes.chunks(CLUSTER_LEN) {
                let (cluster, data) = pack(cluster).unwrap();
                packed.clusters.push(cluster);
                blocks.extend(data);
            }
            files.0.insert(*digest, (packed, blocks));
        }
        files
    }
}

impl PackedFiles for Files {
    fn packed(&self, digest: &Digest) -> Option<Packed> {
        self.0.get(digest).map(|(packed, _)| packed.clone())
    }

    fn blocks(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(&self.0[digest].1[..]))
    }
}

#[derive(Debug, Default)]
struct Sample {
    manifest: Manifest,
    contents: BTreeMap<Digest, Vec<u8>>,
}

impl Sample {
    fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.add_of(0, path, bytes);
    }

    /// Adds a file of that owner and group.
    fn add_of(&mut self, owner: u32, path: &str, bytes: Vec<u8>) {
        let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
        let node = Node { uid: owner, gid: owner, ..Node::file(sha256, size, 0o644) };
        if self.manifest.insert(path.parse().unwrap(), node).is_ok() {
            self.contents.insert(sha256, bytes);
        }
    }

    fn image(&self) -> Vec<u8> {
        let mut image = Vec::new();
        write(&self.manifest, &self.contents, &Files::of(&self.contents), [7; 16], &mut image).unwrap();
        image
    }
}

/// Bytes that compress to about half.
fn text(len: usize) -> Vec<u8> {
    noise(len).into_iter().map(|byte| byte & 0x0f).collect()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn sample() -> Sample {
    let mut sample = Sample::default();
    for (name, len) in [
        ("empty", 0),
        ("one", 1),
        ("long-inline-max", LONG_INLINE_MAX),
        ("long-inline-over", LONG_INLINE_MAX + 1),
        ("inline-max", INLINE_MAX),
        ("inline-over", INLINE_MAX + 1),
        ("block", 4096),
        ("block-over", 4097),
        ("cluster", CLUSTER_LEN),
        ("cluster-over", CLUSTER_LEN + 1),
        ("many", 5 * CLUSTER_LEN + 12_345),
    ] {
        sample.add(&format!("/text/{name}"), text(len));
        sample.add(&format!("/noise/{name}"), noise(len));
        sample.add(&format!("/zero/{name}"), vec![0; len]);
    }
    let mixed = [text(CLUSTER_LEN), noise(CLUSTER_LEN), vec![0; CLUSTER_LEN], noise(100)].concat();
    sample.add("/mixed", mixed.clone());
    sample.add("/same-as-mixed", mixed);
    for number in 0..1000 {
        sample.add(&format!("/many/a-name-of-some-length-{number}"), vec![b'x'; number]);
    }
    // A last block that is too long to be inline.
    for number in 0..63 {
        sample.add(&format!("/full/{}-{number:02}", "n".repeat(49)), Vec::new());
    }
    sample.manifest.insert("/bin".parse().unwrap(), Node::symlink("usr/bin")).unwrap();
    sample.manifest.insert("/far".parse().unwrap(), Node::symlink("x/".repeat(2000))).unwrap();
    sample.manifest.insert("/state".parse().unwrap(), Node::directory(0o700)).unwrap();
    sample
}

fn assert_lists(image: &[u8], manifest: &Manifest) -> Vec<(ImagePath, Inode)> {
    let mut tree = Tree::open(Cursor::new(image)).unwrap();
    assert_eq!(tree.superblock().image_len(), image.len() as u64);
    let found = tree.list().unwrap();
    assert_eq!(found.len(), manifest.iter().count());
    for ((path, inode), (expected, node)) in found.iter().zip(manifest.iter()) {
        assert_eq!(path, expected);
        let (kind, size) = match &node.kind {
            Kind::Directory {} => (0o040_000, inode.size),
            Kind::File { size, .. } => (0o100_000, *size),
            Kind::Symlink { target } => (0o120_000, target.len() as u64),
        };
        assert_eq!((inode.mode, inode.size), (kind | node.mode, size), "{path}");
        assert_eq!((inode.uid, inode.gid), (node.uid, node.gid), "{path}");
    }
    found
}

#[test]
fn an_image_lists_what_its_manifest_does() {
    let sample = sample();
    let image = sample.image();
    let found = assert_lists(&image, &sample.manifest);
    let mut tree = Tree::open(Cursor::new(&image)).unwrap();
    for (path, inode) in found.iter().filter(|(_, inode)| inode.is_file() && inode.size <= INLINE_MAX as u64)
    {
        let Some(Node { kind: Kind::File { sha256, .. }, .. }) = sample.manifest.get(path) else { panic!() };
        assert_eq!(tree.read(path, inode).unwrap(), sample.contents[sha256], "{path}");
    }
}

#[test]
fn the_same_contents_are_in_an_image_once() {
    let mut sample = Sample::default();
    sample.add("/one", noise(1_000_000));
    let once = sample.image().len();
    sample.add("/other", noise(1_000_000));
    assert!(sample.image().len() < once + 4 * 4096);
}

#[test]
fn the_same_manifest_gives_the_same_image() {
    assert!(sample().image() == sample().image());
}

#[test]
fn the_order_in_which_nodes_were_added_does_not_matter() {
    let sample = sample();
    let mut backwards = Manifest::new();
    for (path, node) in sample.manifest.iter().collect::<Vec<_>>().into_iter().rev() {
        backwards.insert(path.clone(), node.clone()).unwrap();
    }
    let again = Sample { manifest: backwards, contents: sample.contents.clone() };
    assert!(again.image() == sample.image());
}

#[test]
fn zeros_take_a_block_for_each_cluster() {
    let mut sample = Sample::default();
    sample.add("/empty", vec![0; 100 * CLUSTER_LEN]);
    // Superblock and root, the index of 8 bytes for each block, and the clusters.
    assert!(sample.image().len() <= 4096 * (2 + 100 * CLUSTER_LEN * 8 / 4096 / 4096 + 100));
}

#[test]
fn noise_is_stored_as_it_is() {
    let mut sample = Sample::default();
    sample.add("/noise", noise(3 * CLUSTER_LEN + 5));
    let image = sample.image();
    let (_, inode) = assert_lists(&image, &sample.manifest).pop().unwrap();
    assert_eq!(inode.disk_len(4096), 3 * CLUSTER_LEN as u64 + 4096);
}

#[test]
fn owners_beyond_16_bits_keep_their_numbers() {
    let mut sample = Sample::default();
    for len in [0, 1, LONG_INLINE_MAX, LONG_INLINE_MAX + 1, INLINE_MAX, INLINE_MAX + 1, 1_000_000] {
        for owner in [65_535, 65_536, u32::MAX] {
            sample.add_of(owner, &format!("/{owner}/{len}"), text(len));
        }
    }
    let owned = |node| Node { uid: 65_536, gid: 3, ..node };
    sample.manifest.insert("/directory".parse().unwrap(), owned(Node::directory(0o1777))).unwrap();
    for len in [1, 4032, 4033, 4064, 4065, 4095] {
        let link = owned(Node::symlink("l".repeat(len)));
        sample.manifest.insert(format!("/links/{len}").parse().unwrap(), link).unwrap();
    }
    assert_lists(&sample.image(), &sample.manifest);
}

#[test]
fn a_directory_of_a_hundred_thousand_files_is_listed() {
    let mut sample = Sample::default();
    for number in 0..100_000 {
        sample.add(&format!("/many/{number}"), Vec::new());
    }
    assert_lists(&sample.image(), &sample.manifest);
}

#[test]
fn a_directory_may_have_more_links_than_16_bits_count() {
    let mut sample = Sample::default();
    for number in 0..70_000 {
        let path = format!("/many/{number}");
        sample.manifest.insert(path.parse().unwrap(), Node::directory(0o755)).unwrap();
    }
    let image = sample.image();
    assert_lists(&image, &sample.manifest);
}

#[test]
fn a_tree_as_deep_as_a_path_can_be_is_listed() {
    let mut sample = Sample::default();
    sample.add(&"/d".repeat(2000), text(10_000));
    assert_lists(&sample.image(), &sample.manifest);
}

#[test]
fn directories_are_listed_whatever_the_length_of_their_last_block() {
    // `.` and `..` take 27 bytes, each name its length and 12; a block holds 4096, a tail 4064: so
    // the last name goes from the tail to a block of its own to the next block.
    for (count, last) in [(15, 15..60), (30, 42..85)] {
        for last in last {
            let mut sample = Sample::default();
            for number in 0..count {
                sample.add(&format!("/d/{}{number:02}", "n".repeat(253)), Vec::new());
            }
            sample.add(&format!("/d/{}", "z".repeat(last)), Vec::new());
            assert_lists(&sample.image(), &sample.manifest);
        }
    }
}

#[test]
fn every_file_has_the_time_of_the_superblock() {
    let mut sample = sample();
    sample.add_of(70_000, "/long", Vec::new());
    let image = sample.image();
    let mut tree = Tree::open(Cursor::new(&image)).unwrap();
    assert_eq!(tree.superblock().build_time, 0);
    let (_, long) = tree.list().unwrap().into_iter().find(|(path, _)| path.as_str() == "/long").unwrap();
    let at = usize::try_from(long.number).unwrap() * 32 + 32;
    assert_eq!(image[at..at + 12], [0; 12], "a long inode has a time of its own, which is 1970 too");
}

#[test]
fn a_large_file_that_nobody_packed_is_named() {
    let sample = sample();
    let error =
        write(&sample.manifest, &sample.contents, &Files::default(), [7; 16], &mut io::sink()).unwrap_err();
    assert!(matches!(error, WriteError::NotPacked(..)), "{error}");
}

#[test]
fn a_packed_form_of_another_length_is_refused() {
    let mut sample = Sample::default();
    sample.add("/text", text(CLUSTER_LEN * 2));
    let mut files = Files::of(&sample.contents);
    for (packed, _) in files.0.values_mut() {
        packed.clusters.push(Cluster::Zstd(1));
    }
    let error = write(&sample.manifest, &sample.contents, &files, [7; 16], &mut io::sink()).unwrap_err();
    assert!(matches!(error, WriteError::NotPacked(..)), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_is_listed_as_it_was_written(
        files in proptest::collection::vec(("(/[a-z]{1,60}){1,4}", 0..20_000_usize), 0..150)
    ) {
        let mut sample = Sample::default();
        for (path, len) in files {
            sample.add(&path, text(len));
        }
        assert_lists(&sample.image(), &sample.manifest);
    }
}
