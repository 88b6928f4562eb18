//! Images that we write, read back here and by fsck.erofs where that is installed.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write as _};
use std::process::Command;

use image_format::Digest;
use image_format::erofs::{
    CLUSTER_LEN, Cluster, INLINE_MAX, Inode, Packed, PackedFiles, Packer, Tree, WriteError, write,
};
use image_format::manifest::{ImagePath, Kind, Manifest, Node};
use proptest::prelude::*;

/// Packed files in memory.
#[derive(Debug, Default)]
struct Files(BTreeMap<Digest, (Packed, Vec<u8>)>);

impl Files {
    fn of(contents: &BTreeMap<Digest, Vec<u8>>) -> Self {
        let mut packer = Packer::new().unwrap();
        let mut files = Self::default();
        for (digest, bytes) in contents.iter().filter(|(_, bytes)| bytes.len() as u64 > INLINE_MAX) {
            let (mut packed, mut blocks) = (Packed::default(), Vec::new());
            for cluster in bytes.chunks(CLUSTER_LEN) {
                let (cluster, data) = packer.pack(cluster).unwrap();
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
        let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
        if self.manifest.insert(path.parse().unwrap(), Node::file(sha256, size, 0o644)).is_ok() {
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
        ("inline-max", INLINE_MAX as usize),
        ("inline-over", INLINE_MAX as usize + 1),
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
        assert_eq!((inode.mode, inode.size, inode.uid), (kind | node.mode, size, node.uid), "{path}");
    }
    found
}

#[test]
fn an_image_lists_what_its_manifest_does() {
    let sample = sample();
    let image = sample.image();
    let found = assert_lists(&image, &sample.manifest);
    let mut tree = Tree::open(Cursor::new(&image)).unwrap();
    for (path, inode) in found.iter().filter(|(_, inode)| inode.is_file() && inode.size <= INLINE_MAX) {
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
fn fsck_unpacks_what_we_wrote() {
    let sample = sample();
    let directory = tempfile::tempdir().unwrap();
    let (image, out) = (directory.path().join("image"), directory.path().join("out"));
    std::fs::write(&image, sample.image()).unwrap();
    // zstd came with 1.8; an older one is no judge.
    let fsck = std::env::var("FSCK_EROFS").unwrap_or_else(|_| "fsck.erofs".to_owned());
    let knows_zstd = Command::new(&fsck).arg("--help").output();
    if !knows_zstd.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("zstd")) {
        let _ = writeln!(io::stderr(), "skipped: no fsck.erofs that knows zstd");
        return;
    }
    let output = Command::new(&fsck)
        .arg(format!("--extract={}", out.display()))
        .args(["--no-preserve-owner", "--preserve-perms"])
        .arg(&image)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (path, node) in sample.manifest.iter() {
        if let Kind::File { sha256, .. } = &node.kind {
            let found = std::fs::read(out.join(path.relative())).unwrap();
            assert!(found == sample.contents[sha256], "{path}");
        }
    }
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
