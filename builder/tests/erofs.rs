//! Our file systems unpacked by fsck.erofs and described by dump.erofs: every byte, mode, owner,
//! link and time of the hard cases is compared with what went in.
//!
//! What our own reader makes of them is tested beside the writer; what kernels do, on booted machines.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod judges;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use image_format::Digest;
use image_format::erofs::CLUSTER_LEN;
use image_format::manifest::{Kind, Manifest, Node};
use judges::{assert_success, run, tools};
use slipway::emit::{Packs, Stored, write_slot};
use slipway::store::Store;

/// A tree under construction, with the contents of its files.
#[derive(Default)]
struct Sample {
    manifest: Manifest,
    contents: Stored,
    bytes: BTreeMap<Digest, Vec<u8>>,
}

impl Sample {
    fn file(&mut self, path: &str, mode: u16, owner: u32, bytes: Vec<u8>) {
        self.bytes.insert(Digest::of(&bytes), bytes.clone());
        let node = Node { uid: owner, gid: owner, ..self.contents.add_bytes(bytes, mode) };
        self.manifest.insert(path.parse().unwrap(), node).unwrap();
    }

    fn node(&mut self, path: &str, node: Node) {
        self.manifest.insert(path.parse().unwrap(), node).unwrap();
    }

    /// Writes the slot and lets fsck.erofs unpack it.
    fn unpacked(&self, tree: &Path, directory: &Path) -> PathBuf {
        let (image, out) = (directory.join("slot.img"), directory.join("out"));
        let store = Store::open(&directory.join("store")).unwrap();
        let packs = Packs::of(&store, &self.manifest, &self.contents, |_| {}).unwrap();
        write_slot(&self.manifest, &self.contents, &packs, &image).unwrap();
        let extract = format!("--extract={}", out.display());
        let owners = if is_root() { "--preserve-owner" } else { "--no-preserve-owner" };
        let image = image.to_str().unwrap();
        assert_success(&run(tree, "usr/bin/fsck.erofs", &[&extract, owners, "--preserve-perms", image]));
        out
    }
}

/// Only root can unpack what others own.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Bytes that compress to about half.
fn text(len: usize) -> Vec<u8> {
    noise(len).into_iter().map(|byte| byte & 0x0f).collect()
}

/// Every size at a border of the format, of every kind of contents, and owners of both kinds of inodes.
fn borders(sample: &mut Sample) {
    let cluster = CLUSTER_LEN;
    for len in [0, 1, 4031, 4032, 4033, 4064, 4065, 4096, 4097, 8192, cluster - 1, cluster, cluster + 1] {
        for owner in [0, 65_535, 65_536, 4_000_000_000] {
            sample.file(&format!("/borders/{owner}/text-{len}"), 0o644, owner, text(len));
            sample.file(&format!("/borders/{owner}/noise-{len}"), 0o4755, owner, noise(len));
            sample.file(&format!("/borders/{owner}/zero-{len}"), 0o600, owner, vec![0; len]);
        }
    }
    let mixed = [text(cluster), noise(cluster), vec![0; cluster], noise(100)].concat();
    sample.file("/mixed", 0o644, 0, mixed.clone());
    sample.file("/same-as-mixed", 0o640, 7, mixed);
    sample.file("/large", 0o644, 0, text(5_000_000));
    sample.file("/sparse", 0o644, 0, [vec![0; 3_000_000], text(10), vec![0; 3_000_000]].concat());
}

fn assert_unpacked(sample: &Sample, out: &Path) {
    for (path, node) in sample.manifest.iter() {
        let at = out.join(path.relative());
        let found = std::fs::symlink_metadata(&at).unwrap();
        if is_root() {
            assert_eq!((found.uid(), found.gid()), (node.uid, node.gid), "{path}");
        }
        match &node.kind {
            Kind::Symlink { target } => {
                assert_eq!(std::fs::read_link(&at).unwrap().to_str(), Some(target.as_str()), "{path}");
                continue;
            }
            Kind::File { sha256, .. } => {
                assert!(std::fs::read(&at).unwrap() == sample.bytes[sha256], "{path}");
                assert_eq!(found.nlink(), 1, "{path}");
            }
            Kind::Directory {} => assert!(found.is_dir(), "{path}"),
        }
        assert_eq!(found.permissions().mode() & 0o7777, u32::from(node.mode), "{path}");
        assert_eq!((found.mtime(), found.mtime_nsec()), (0, 0), "{path}");
    }
    let found = walkdir::WalkDir::new(out).into_iter().map(Result::unwrap).count();
    assert_eq!(found, sample.manifest.iter().count(), "nothing else is in it");
}

#[test]
fn fsck_unpacks_every_size_owner_mode_and_link_as_it_went_in() {
    let Some(tree) = tools() else { return };
    let mut sample = Sample::default();
    borders(&mut sample);
    for len in [1, 7, 4032, 4033, 4064, 4065, 4095] {
        sample.node(&format!("/links/{len}"), Node::symlink("l".repeat(len)));
        let owned = Node { uid: 70_000, gid: 70_001, ..Node::symlink("o".repeat(len)) };
        sample.node(&format!("/links/owned-{len}"), owned);
    }
    sample.node("/tmp", Node::directory(0o1777));
    sample.node("/state", Node { uid: 70_000, gid: 5, ..Node::directory(0o2700) });
    let directory = tempfile::tempdir().unwrap();
    assert_unpacked(&sample, &sample.unpacked(&tree, directory.path()));
}

#[test]
fn fsck_unpacks_deep_trees_and_directories_of_any_length() {
    let Some(tree) = tools() else { return };
    let mut sample = Sample::default();
    sample.file(&"/deep".repeat(200), 0o644, 0, text(10_000));
    for number in 0..100_000 {
        sample.file(&format!("/many/{number}"), 0o644, 0, Vec::new());
    }
    // The last name goes from the tail to a block of its own (4064) to the next block (4096).
    for (count, last) in [(15, 15..60), (30, 42..85)] {
        for last in last {
            for number in 0..count {
                sample.file(
                    &format!("/d/{count}-{last}/{}{number:02}", "n".repeat(253)),
                    0o644,
                    0,
                    Vec::new(),
                );
            }
            sample.file(&format!("/d/{count}-{last}/{}", "z".repeat(last)), 0o644, 0, text(last));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    assert_unpacked(&sample, &sample.unpacked(&tree, directory.path()));
}

#[test]
fn dump_describes_what_we_wrote() {
    let Some(tree) = tools() else { return };
    let mut sample = Sample::default();
    borders(&mut sample);
    let directory = tempfile::tempdir().unwrap();
    sample.unpacked(&tree, directory.path());
    let image = directory.path().join("slot.img");
    let dump = |arguments: &[&str]| {
        let output = run(&tree, "usr/bin/dump.erofs", &[arguments, &[image.to_str().unwrap()]].concat());
        assert_success(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let superblock = dump(&["-s"]);
    let inodes = format!("{}\n", sample.manifest.iter().count());
    let line = superblock.lines().find(|line| line.contains("inode count")).unwrap();
    assert_eq!(line.rsplit(' ').next(), inodes.trim().into(), "{superblock}");
    // 5000000 bytes are 39 clusters, the last one short.
    let extents = dump(&["-e", "--path=/large"]);
    assert!(extents.contains("39 extents found"), "{extents}");
}
