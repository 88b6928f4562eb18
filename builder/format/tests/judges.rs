//! Our formats in the hands of others: GNU cpio and tar unpack what we pack, and an image of
//! mkfs.erofs' is read here, whole and damaged.
//!
//! A judge that is not installed is a skipped test, with a line that says so.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use image_format::erofs::{Tree, TreeError};
use image_format::manifest::{Kind, Manifest, Node};
use image_format::{Digest, cpio, tar};
use proptest::prelude::*;

/// `tests/data/small.erofs`: /bin -> usr/bin, /etc/image.toml, and /usr/bin/text of 32000 bytes that
/// compress well. Made by mkfs.erofs 1.8.6 with the builder's options and the UUID 1.
const SMALL: &[u8] = include_bytes!("data/small.erofs");

fn sample() -> (Manifest, BTreeMap<Digest, Vec<u8>>) {
    let (mut manifest, mut contents) = (Manifest::new(), BTreeMap::new());
    let long = format!("/usr/share/{}/{}", "directory-".repeat(12), "name-".repeat(30));
    for (path, bytes, mode) in [
        ("/init", b"init".to_vec(), 0o755),
        ("/usr/bin/program", vec![7; 70_001], 0o755),
        ("/etc/secret", Vec::new(), 0o600),
        (long.as_str(), b"long".to_vec(), 0o644),
    ] {
        let sha256 = Digest::of(&bytes);
        manifest.insert(path.parse().unwrap(), Node::file(sha256, bytes.len() as u64, mode)).unwrap();
        contents.insert(sha256, bytes);
    }
    manifest.insert("/bin".parse().unwrap(), Node::symlink("usr/bin")).unwrap();
    manifest.insert("/far".parse().unwrap(), Node::symlink("../".repeat(60) + "./target")).unwrap();
    manifest.insert("/state".parse().unwrap(), Node::directory(0o700)).unwrap();
    (manifest, contents)
}

/// Runs `program` in `directory` with `input`; false if it is not installed.
fn judge(program: &str, arguments: &[&str], directory: &Path, input: &[u8]) -> bool {
    let started = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let _ = writeln!(std::io::stdout(), "\nSKIPPED: starting {program}: {error}");
            return false;
        }
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

fn assert_unpacked(directory: &Path, manifest: &Manifest, contents: &BTreeMap<Digest, Vec<u8>>) {
    for (path, node) in manifest.iter().skip(1) {
        let found = directory.join(path.relative());
        let metadata = std::fs::symlink_metadata(&found).unwrap();
        match &node.kind {
            Kind::Directory {} => assert!(metadata.is_dir(), "{path}"),
            Kind::File { sha256, .. } => {
                assert!(std::fs::read(&found).unwrap() == contents[sha256], "{path}")
            }
            Kind::Symlink { target } => {
                assert_eq!(std::fs::read_link(&found).unwrap(), Path::new(target), "{path}");
                continue;
            }
        }
        assert_eq!(metadata.permissions().mode() & 0o7777, u32::from(node.mode), "{path}");
        // cpio fills a directory after setting its time.
        assert!(metadata.is_dir() || metadata.mtime() == 86_400, "{path}");
    }
}

#[test]
fn gnu_cpio_unpacks_what_we_packed() {
    let (manifest, contents) = sample();
    let directory = tempfile::tempdir().unwrap();
    let mut archive = Vec::new();
    cpio::write(&manifest, &contents, 86_400, &mut archive).unwrap();
    let arguments = ["--extract", "--preserve-modification-time", "--quiet", "--no-preserve-owner"];
    if judge("cpio", &arguments, directory.path(), &archive) {
        assert_unpacked(directory.path(), &manifest, &contents);
    }
}

#[test]
fn gnu_tar_unpacks_what_we_packed() {
    let (manifest, contents) = sample();
    let directory = tempfile::tempdir().unwrap();
    let mut stream = Vec::new();
    tar::write(&manifest, &contents, 86_400, &mut stream).unwrap();
    let arguments = ["--extract", "--preserve-permissions", "--no-same-owner", "--file=-"];
    if judge("tar", &arguments, directory.path(), &stream) {
        assert_unpacked(directory.path(), &manifest, &contents);
    }
}

fn list(image: &[u8]) -> Result<Vec<String>, TreeError> {
    let mut tree = Tree::open(Cursor::new(image))?;
    let block = tree.superblock().block_size;
    let line = |(path, inode): &(image_format::manifest::ImagePath, image_format::erofs::Inode)| {
        format!("{:o} {} {} {path}", inode.mode, inode.size, inode.disk_len(block))
    };
    Ok(tree.list()?.iter().map(line).collect())
}

#[test]
fn an_image_of_mkfs_is_listed_with_what_each_file_takes() {
    let lines = list(SMALL).unwrap();
    let files: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.starts_with('4')).collect();
    assert_eq!(files, ["120777 7 7 /bin", "100644 12 12 /etc/image.toml", "100755 32000 4096 /usr/bin/text"]);
    let mut tree = Tree::open(Cursor::new(SMALL)).unwrap();
    let all = tree.list().unwrap();
    let read = |tree: &mut Tree<_>, name: &str| {
        let (path, inode) = all.iter().find(|(path, _)| path.as_str() == name).unwrap();
        tree.read(path, inode)
    };
    assert_eq!(read(&mut tree, "/etc/image.toml").unwrap(), b"role = \"lb\"\n");
    assert!(matches!(read(&mut tree, "/usr/bin/text"), Err(TreeError::Unreadable(_))));
}

proptest! {
    #[test]
    fn a_damaged_image_is_listed_or_refused(
        damage in proptest::collection::vec((0..SMALL.len(), any::<u8>()), 1..20)
    ) {
        let mut image = SMALL.to_vec();
        for (at, byte) in damage {
            image[at] = byte;
        }
        let _ = list(&image);
    }

    #[test]
    fn a_damaged_inode_table_is_listed_or_refused(
        damage in proptest::collection::vec((1024..2400_usize, any::<u8>()), 1..8)
    ) {
        let mut image = SMALL.to_vec();
        for (at, byte) in damage {
            // Not the magic: everything behind it is what this is about.
            image[at.max(1028)] = byte;
        }
        let _ = list(&image);
    }
}
