//! A tar stream of a manifest: the same bytes for the same tree.
//!
//! GNU headers, numeric owners, one time for everything. It is the layer of an OCI image.
//! Reading tar is for tests and outsiders.

use std::io::{self, Read as _, Write};

use ::tar::{Builder, EntryType, Header};

use crate::contents::{ArchiveError, Checked, Contents};
use crate::manifest::{ImagePath, Kind, Manifest, Node};

/// Writes `manifest` with its `contents`; every node gets the time `mtime` (seconds since 1970).
///
/// The root directory comes first as `./`: whoever unpacks it would otherwise own it.
///
/// # Errors
/// [`ArchiveError`] when contents are missing or not what the manifest says, or writing fails.
pub fn write(
    manifest: &Manifest,
    contents: &dyn Contents,
    mtime: u64,
    to: impl Write,
) -> Result<(), ArchiveError> {
    let mut builder = Builder::new(to);
    for (path, node) in manifest.iter() {
        add(&mut builder, contents, mtime, path, node)
            .map_err(|source| ArchiveError::Io { path: path.clone(), source })?;
    }
    builder.into_inner().and_then(|mut to| to.flush()).map_err(ArchiveError::End)
}

fn add(
    builder: &mut Builder<impl Write>,
    contents: &dyn Contents,
    mtime: u64,
    path: &ImagePath,
    node: &Node,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(node.mode.into());
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    header.set_mtime(mtime);
    header.set_size(node.size());
    match &node.kind {
        Kind::Directory {} if path.is_root() => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, "./", io::empty())
        }
        Kind::Directory {} => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{}/", path.relative()), io::empty())
        }
        Kind::Symlink { target } => {
            header.set_entry_type(EntryType::Symlink);
            set_target(builder, &mut header, target)?;
            builder.append_data(&mut header, path.relative(), io::empty())
        }
        Kind::File { sha256, size } => {
            header.set_entry_type(EntryType::Regular);
            builder.append_data(&mut header, path.relative(), Checked::open(contents, *sha256, *size)?)
        }
    }
}

/// Bytes of a link's target that a header has room for.
const TARGET_LEN: usize = 100;

/// Sets a link's target to the letter: the crate's own ways drop `.` and doubled slashes.
fn set_target(builder: &mut Builder<impl Write>, header: &mut Header, target: &str) -> io::Result<()> {
    if target.len() <= TARGET_LEN {
        return header.set_link_name_literal(target);
    }
    let mut long = Header::new_gnu();
    long.set_entry_type(EntryType::GNULongLink);
    long.set_path("././@LongLink")?;
    long.set_mode(0o644);
    long.set_uid(0);
    long.set_gid(0);
    long.set_mtime(0);
    long.set_size(target.len() as u64 + 1);
    long.set_cksum();
    builder.append(&long, target.as_bytes().chain(&[0][..]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Digest;

    /// What a reader of somebody else's makes of the stream.
    fn read(stream: &[u8]) -> (Manifest, BTreeMap<Digest, Vec<u8>>) {
        let mut manifest = Manifest::new();
        let mut contents = BTreeMap::new();
        for entry in ::tar::Archive::new(stream).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = format!("/{}", entry.path().unwrap().to_str().unwrap().trim_matches(['.', '/']));
            let kind = match entry.header().entry_type() {
                EntryType::Directory => Kind::Directory {},
                EntryType::Symlink => {
                    let target = String::from_utf8(entry.link_name_bytes().unwrap().into_owned()).unwrap();
                    Kind::Symlink { target }
                }
                EntryType::Regular => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).unwrap();
                    let sha256 = Digest::of(&bytes);
                    let size = bytes.len() as u64;
                    contents.insert(sha256, bytes);
                    Kind::File { sha256, size }
                }
                other => panic!("{other:?}"),
            };
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 7);
            let node = Node {
                kind,
                mode: header.mode().unwrap() as u16,
                uid: header.uid().unwrap() as u32,
                gid: header.gid().unwrap() as u32,
            };
            manifest.insert(path.parse().unwrap(), node).unwrap();
        }
        (manifest, contents)
    }

    proptest! {
        #[test]
        fn a_tree_reads_back_from_its_stream(
            files in proptest::collection::vec(
                ("(/[a-z]{1,40}){1,6}", proptest::collection::vec(any::<u8>(), 0..2000), 0_u16..=0o7777, any::<u32>()),
                0..12,
            ),
            links in proptest::collection::vec(("(/[A-Z]{1,60}){1,3}", "[a-z./]{1,200}"), 0..6),
        ) {
            let mut manifest = Manifest::new();
            let mut contents = BTreeMap::new();
            for (path, bytes, mode, owner) in files {
                let sha256 = Digest::of(&bytes);
                let kind = Kind::File { sha256, size: bytes.len() as u64 };
                let node = Node { kind, mode, uid: owner, gid: owner / 3 };
                if manifest.insert(path.parse().unwrap(), node).is_ok() {
                    contents.insert(sha256, bytes);
                }
            }
            for (path, target) in links {
                let _ = manifest.insert(path.parse().unwrap(), Node::symlink(target));
            }
            let mut stream = Vec::new();
            write(&manifest, &contents, 7, &mut stream).unwrap();
            prop_assert_eq!(read(&stream), (manifest, contents));
        }
    }

    #[test]
    fn the_root_directory_is_an_entry_too() {
        let mut manifest = Manifest::new();
        manifest.insert(ImagePath::root(), Node::directory(0o700)).unwrap();
        let mut stream = Vec::new();
        write(&manifest, &BTreeMap::new(), 7, &mut stream).unwrap();
        assert_eq!(read(&stream).0, manifest);
    }

    #[test]
    fn altered_contents_stop_the_writing() {
        let mut manifest = Manifest::new();
        let named = Digest::of(b"good");
        manifest.insert("/a".parse().unwrap(), Node::file(named, 4, 0o644)).unwrap();
        let contents = BTreeMap::from([(named, b"evil".to_vec())]);
        let error = write(&manifest, &contents, 0, io::sink()).unwrap_err();
        assert!(matches!(error, ArchiveError::Io { .. }), "{error}");
    }
}
