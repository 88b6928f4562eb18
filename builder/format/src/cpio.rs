//! newc cpio archives: what the kernel unpacks as its initramfs.
//!
//! The cpio crate writes and reads the entries; this file guards what it lets pass (sizes cut
//! to 32 bits, an entry shorter than announced) and sets what must not vary: inode numbers count
//! up from 1, and every time is the one given.

use std::io::{self, Read, Write};

use ::cpio::newc::{Builder, ModeFileType, Reader, trailer};

use crate::Digest;
use crate::contents::{ArchiveError, Checked, Contents};
use crate::manifest::{ImagePath, Kind, Manifest, Node};

/// Writes `manifest` with its `contents`; every node gets the time `mtime` (seconds since 1970).
///
/// # Errors
/// [`ArchiveError`] when contents are missing, too large or not what the manifest says, or
/// writing fails.
pub fn write(
    manifest: &Manifest,
    contents: &dyn Contents,
    mtime: u32,
    mut to: impl Write,
) -> Result<(), ArchiveError> {
    // The kernel has made the root directory by the time it unpacks.
    let nodes = manifest.iter().filter(|(path, _)| !path.is_root());
    for ((path, node), ino) in nodes.zip(1..) {
        let size = u32::try_from(data_len(node))
            .map_err(|_| ArchiveError::TooLarge { path: path.clone(), size: data_len(node) })?;
        let entry = Builder::new(path.relative())
            .ino(ino)
            .mode(node.mode.into())
            .uid(node.uid)
            .gid(node.gid)
            .nlink(if node.is_directory() { 2 } else { 1 })
            .mtime(mtime)
            .set_mode_file_type(file_type(node));
        let mut writer = entry.write(&mut to, size);
        copy_data(contents, node, &mut writer)
            .and_then(|()| writer.finish().map(drop))
            .map_err(|source| ArchiveError::Io { path: path.clone(), source })?;
    }
    trailer(&mut to).and_then(|to| to.flush()).map_err(ArchiveError::End)
}

fn data_len(node: &Node) -> u64 {
    match &node.kind {
        Kind::Directory {} => 0,
        Kind::File { size, .. } => *size,
        Kind::Symlink { target } => target.len() as u64,
    }
}

fn file_type(node: &Node) -> ModeFileType {
    match node.kind {
        Kind::Directory {} => ModeFileType::Directory,
        Kind::File { .. } => ModeFileType::Regular,
        Kind::Symlink { .. } => ModeFileType::Symlink,
    }
}

/// Copies a node's data; [`Checked`] fails when a file's is not of the announced length.
fn copy_data(contents: &dyn Contents, node: &Node, to: &mut impl Write) -> io::Result<()> {
    match &node.kind {
        Kind::Directory {} => Ok(()),
        Kind::Symlink { target } => to.write_all(target.as_bytes()),
        Kind::File { sha256, size } => {
            io::copy(&mut Checked::open(contents, *sha256, *size)?, to).map(|_copied| ())
        }
    }
}

/// Why bytes are no archive that we would have written.
#[derive(Debug, thiserror::Error)]
pub enum CpioError {
    /// The archive ends early or is malformed.
    #[error("reading the archive")]
    Io(#[from] io::Error),
    /// A kind of file that our archives never hold.
    #[error("{name} has the mode {mode:o}, which is no file, directory or symbolic link")]
    Mode {
        /// The entry.
        name: String,
        /// As found.
        mode: u32,
    },
    /// An entry that does not fit into a tree.
    #[error("the entry {name}: {reason}")]
    Entry {
        /// The entry.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// Longest symbolic link that is read.
const TARGET_MAX: u64 = 4096;

/// Reads an archive's manifest, hashing its files as they pass.
///
/// # Errors
/// [`CpioError`].
pub fn read(mut from: impl Read) -> Result<Manifest, CpioError> {
    let mut manifest = Manifest::new();
    loop {
        let mut reader = Reader::new(from)?;
        let entry = reader.entry();
        if entry.is_trailer() {
            return Ok(manifest);
        }
        let (name, mode) = (entry.name().to_owned(), entry.mode());
        let (uid, gid, size) = (entry.uid(), entry.gid(), u64::from(entry.file_size()));
        let refuse = |reason: String| CpioError::Entry { name: name.clone(), reason };
        let kind = match mode & 0o170_000 {
            0o040_000 => Kind::Directory {},
            0o100_000 => {
                let (sha256, read) = Digest::of_reader(&mut reader)?;
                if read != size {
                    return Err(refuse(format!("it has {read} bytes of {size}")));
                }
                Kind::File { sha256, size }
            }
            0o120_000 => {
                let mut target = Vec::new();
                reader.by_ref().take(TARGET_MAX).read_to_end(&mut target)?;
                let target = String::from_utf8(target).map_err(|error| refuse(error.to_string()))?;
                Kind::Symlink { target }
            }
            _ => return Err(CpioError::Mode { name, mode }),
        };
        let path: ImagePath = format!("/{name}")
            .parse()
            .map_err(|error: crate::manifest::PathError| refuse(error.to_string()))?;
        let node = Node { kind, mode: (mode & 0o7777) as u16, uid, gid };
        manifest.insert(path, node).map_err(|error| refuse(error.to_string()))?;
        from = reader.finish()?;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn archive(manifest: &Manifest, contents: &BTreeMap<Digest, Vec<u8>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(manifest, contents, 0, &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn a_tree_reads_back_from_its_archive(
            files in proptest::collection::vec(
                ("(/[a-z]{1,9}){1,4}", proptest::collection::vec(any::<u8>(), 0..2000), 0_u16..=0o7777),
                0..12,
            ),
            links in proptest::collection::vec(("(/[A-Z]{1,9}){1,3}", "[a-z./]{1,200}"), 0..6),
        ) {
            let mut manifest = Manifest::new();
            let mut contents = BTreeMap::new();
            for (path, bytes, mode) in files {
                let sha256 = Digest::of(&bytes);
                let node = Node::file(sha256, bytes.len() as u64, mode);
                if manifest.insert(path.parse().unwrap(), node).is_ok() {
                    contents.insert(sha256, bytes);
                }
            }
            for (path, target) in links {
                let _ = manifest.insert(path.parse().unwrap(), Node::symlink(target));
            }
            prop_assert_eq!(read(&archive(&manifest, &contents)[..]).unwrap(), manifest);
        }

        #[test]
        fn any_bytes_are_read_or_refused(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = b"070701".to_vec();
            bytes.extend(tail);
            let _ = read(&bytes[..]);
        }
    }

    #[test]
    fn a_short_file_is_an_error_and_not_a_short_archive() {
        let named = Digest::of(b"good");
        let mut manifest = Manifest::new();
        manifest.insert("/a".parse().unwrap(), Node::file(named, 4, 0o644)).unwrap();
        let contents = BTreeMap::from([(named, b"goo".to_vec())]);
        assert!(matches!(write(&manifest, &contents, 0, io::sink()), Err(ArchiveError::Io { .. })));
    }

    #[test]
    fn a_file_beyond_four_gibibytes_is_refused() {
        let named = Digest::of(b"");
        let mut manifest = Manifest::new();
        manifest.insert("/a".parse().unwrap(), Node::file(named, 1 << 32, 0o644)).unwrap();
        let error = write(&manifest, &BTreeMap::new(), 0, io::sink()).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let mut manifest = Manifest::new();
        manifest.insert("/dev".parse().unwrap(), Node::directory(0o755)).unwrap();
        let bytes = archive(&manifest, &BTreeMap::new());
        assert!(read(&bytes[..bytes.len() - 8]).is_err());
    }
}
