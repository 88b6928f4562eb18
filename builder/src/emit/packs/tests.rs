//! Packs in a store of their own: made once, alike by any number of threads, and never trusted.
//!
//! The files are made up and small. Whether a kernel can read what packs are laid out to is not
//! asked here: see `tests/erofs.rs` and `tests/images.rs` with their judges.

use image_format::manifest::Node;

use super::*;
use crate::emit::Stored;

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 3 % 251) as u8).collect()
}

fn sample(files: &[(&str, usize)]) -> (Manifest, Stored) {
    let (mut manifest, mut contents) = (Manifest::new(), Stored::default());
    for (path, len) in files {
        manifest.insert(path.parse().unwrap(), contents.add_bytes(bytes(*len), 0o644)).unwrap();
    }
    (manifest, contents)
}

fn blocks(packs: &Packs) -> BTreeMap<Digest, (Packed, Vec<u8>)> {
    let read = |digest: &Digest| {
        let mut bytes = Vec::new();
        packs.blocks(digest).unwrap().read_to_end(&mut bytes).unwrap();
        (packs.packed(digest).unwrap(), bytes)
    };
    packs.files.keys().map(|digest| (*digest, read(digest))).collect()
}

#[test]
fn a_file_is_packed_once_wherever_it_lies() {
    let (_guard, store) = store();
    let packed = std::cell::RefCell::new(Vec::new());
    let pack = |files: &[(&str, usize)]| {
        let (manifest, contents) = sample(files);
        Packs::of(&store, &manifest, &contents, |path| packed.borrow_mut().push(path.to_string())).unwrap()
    };
    let first = pack(&[("/small", 10), ("/large", 5_000_000), ("/other", 300_000), ("/same", 300_000)]);
    assert_eq!(first.files.len(), 2, "small files are not packed, and equal ones once");
    assert_eq!(packed.take().len(), 2);
    let second = pack(&[("/elsewhere", 5_000_000), ("/new", 400_000)]);
    assert_eq!(packed.take(), ["/new"]);
    let (first, second) = (blocks(&first), blocks(&second));
    let digest = Digest::of(&bytes(5_000_000));
    assert_eq!(first[&digest], second[&digest]);
}

#[test]
fn the_number_of_threads_does_not_change_what_is_packed() {
    let files: Vec<(String, usize)> =
        (0..40).map(|number| (format!("/f{number}"), 5000 + number * 77_777)).collect();
    let files: Vec<(&str, usize)> = files.iter().map(|(path, len)| (path.as_str(), *len)).collect();
    let (manifest, contents) = sample(&files);
    let with = |threads| {
        let (_guard, store) = store();
        blocks(&Packs::with_threads(&store, &manifest, &contents, |_| {}, threads).unwrap())
    };
    let one = with(1);
    assert_eq!(one.len(), 40);
    assert!(one == with(2) && one == with(7));
}

#[test]
fn contents_that_are_not_what_the_manifest_says_leave_nothing_in_the_store() {
    let (guard, store) = store();
    let source = guard.path().join("source");
    std::fs::write(&source, vec![7; 100_000]).unwrap();
    let (mut manifest, mut contents) = (Manifest::new(), Stored::default());
    let named = Digest::of(b"something else");
    contents.add_file(named, source);
    manifest.insert("/a".parse().unwrap(), Node::file(named, 100_000, 0o644)).unwrap();
    let error = Packs::of(&store, &manifest, &contents, |_| {}).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.starts_with("packing /a: ") && text.contains("the manifest says"), "{text}");
    assert!(store.entries(Area::Packs).unwrap().is_empty());
}

#[test]
fn a_damaged_pack_is_refused_when_it_is_read_and_found_by_verifying() {
    let (_guard, store) = store();
    let (manifest, contents) = sample(&[("/large", 1_000_000)]);
    let packs = Packs::of(&store, &manifest, &contents, |_| {}).unwrap();
    let directory = store.entries(Area::Packs).unwrap().remove(0);
    assert_eq!(verify(&directory).unwrap(), Health::Sound);
    let mut flipped = std::fs::read(directory.join(BLOCKS)).unwrap();
    flipped[1000] ^= 1;
    for altered in [flipped.clone(), flipped[..4096].to_vec(), [&flipped[..], &[0]].concat()] {
        std::fs::write(directory.join(BLOCKS), altered).unwrap();
        let digest = packs.files.keys().next().unwrap();
        let error = packs.blocks(digest).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("slipway fetch --verify"), "{error}");
        assert!(matches!(verify(&directory).unwrap(), Health::Damaged(_)));
    }
    std::fs::write(directory.join(INDEX), "[]").unwrap();
    assert!(matches!(verify(&directory).unwrap(), Health::Damaged(_)));
}
