//! Whole slot images, judged by others: erofs-utils and veritysetup out of the locked tool set.
//!
//! The roots here are made up; what real roles promise is e2e's business. `erofs` has the hard
//! cases of the file system, here is what a slot adds to it.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod judges;

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use image_format::manifest::{Manifest, Node};
use judges::{assert_success, run, tools};
use slipway::emit::{Packs, Slot, Stored, write_slot};
use slipway::inspect::{Report, look};
use slipway::store::Store;

/// A root with every kind of node, large and small, compressible and not.
fn root() -> (Manifest, Stored) {
    let (mut manifest, mut contents) = (Manifest::new(), Stored::default());
    let mut noise = 1_u64;
    let random: Vec<u8> = (0..3_000_000)
        .map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 56) as u8
        })
        .collect();
    let text: Vec<u8> = (0..2_000_000_u32).flat_map(|at| (at / 64).to_le_bytes()).take(2_000_000).collect();
    let image = "role = \"worker\"\nversion = \"1\"\nbuilt = \"2026-11-14T00:00:00Z\"\n";
    for (path, bytes, mode) in [
        ("/usr/bin/random", random, 0o755),
        ("/usr/bin/text", text, 0o755),
        ("/usr/share/slipway/image.toml", image.as_bytes().to_vec(), 0o644),
        ("/usr/share/empty", Vec::new(), 0o600),
    ] {
        let node = contents.add_bytes(bytes, mode);
        manifest.insert(path.parse().unwrap(), node).unwrap();
    }
    manifest.insert("/bin".parse().unwrap(), Node::symlink("usr/bin")).unwrap();
    manifest.insert("/tmp".parse().unwrap(), Node::directory(0o1777)).unwrap();
    // More names than one block of a directory holds.
    for number in 0..400 {
        let node = contents.add_bytes(format!("{number}"), 0o644);
        let path = format!("/usr/share/many/a-name-of-some-length-{number}");
        manifest.insert(path.parse().unwrap(), node).unwrap();
    }
    (manifest, contents)
}

fn slot(to: &Path) -> Slot {
    let (manifest, contents) = root();
    make(&manifest, &contents, to).unwrap()
}

fn make(manifest: &Manifest, contents: &Stored, to: &Path) -> anyhow::Result<Slot> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path())?;
    let packs = Packs::of(&store, manifest, contents, |_| {})?;
    write_slot(manifest, contents, &packs, to)
}

#[test]
fn outside_judges_accept_a_slot_image() {
    let Some(tree) = tools() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("slot.img");
    let slot = slot(&path);
    let file = path.to_str().unwrap();
    assert_success(&run(&tree, "usr/bin/fsck.erofs", &["--extract", file]));
    let (root, offset) = (slot.root.to_string(), format!("--hash-offset={}", slot.hash_offset));
    assert_success(&run(&tree, "usr/sbin/veritysetup", &["verify", file, file, &root, &offset]));
}

#[test]
fn the_same_root_gives_the_same_slot_wherever_it_is_made() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let far = other.path().join("a/much/longer/path/to/make/it/in");
    std::fs::create_dir_all(&far).unwrap();
    let (one, other) = (one.path().join("slot.img"), far.join("other.img"));
    assert_eq!(slot(&one), slot(&other));
    assert!(std::fs::read(one).unwrap() == std::fs::read(other).unwrap());
}

/// If this fails, images of the same inputs have other bytes than before: give `slot::RECIPE` (the
/// layout changed) or `erofs::RECIPE` (zstd or its settings did) another text, then pin the new hash.
#[test]
fn the_bytes_of_a_slot_are_those_of_its_recipe() {
    let directory = tempfile::tempdir().unwrap();
    let slot = slot(&directory.path().join("slot.img"));
    assert_eq!(slot.root.to_string(), "5c35c58b38200aa4623e3b4da5f962400793920f28f3cbf892b610a0f59bbe2b");
}

#[test]
fn inspect_reads_a_slot_and_names_the_block_of_a_flipped_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("slot.img");
    let slot = slot(&path);
    let Report::Slot(report) = look(&path).unwrap() else { panic!("taken for something else") };
    assert_eq!((report.root_hash, report.image.role.as_str()), (slot.root, "worker"));
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 300 * 4096 + 17).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 300 * 4096 + 17).unwrap();
    let error = format!("{:#}", look(&path).unwrap_err());
    assert!(error.contains("data block 300 does not match the hash tree"), "{error}");
}

#[test]
fn contents_that_changed_behind_our_back_stop_the_build() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    std::fs::write(&source, "evil").unwrap();
    let (mut manifest, mut contents) = (Manifest::new(), Stored::default());
    let named = image_format::Digest::of(b"good");
    contents.add_file(named, source);
    manifest.insert("/a".parse().unwrap(), Node::file(named, 4, 0o644)).unwrap();
    let image = directory.path().join("slot.img");
    let error = make(&manifest, &contents, &image).unwrap_err();
    assert!(format!("{error:#}").contains("the manifest says"), "{error:#}");
}
