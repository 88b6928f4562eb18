//! One .deb: an `ar` archive whose `data.tar` holds the files.
//!
//! `walk` streams the entries in archive order, with paths made absolute and usr-merged (`/bin/x` is
//! `/usr/bin/x`, since scripts that would move it never run). Device nodes and paths that
//! climb out are refused. `control.tar`, and with it every maintainer script, is skipped.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebEntry {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its permission bits, setuid and friends included.
    pub mode: u32,
    /// What it is.
    pub kind: DebEntryKind,
}

/// What a file of a package is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DebEntryKind {
    /// A regular file with its content.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link and what it says.
    Symlink(PathBuf),
    /// Another name of a file of the same package.
    Hardlink(PathBuf),
}

/// A package that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The bytes cannot be read or are no archive.
    #[error("reading the package {}", package.display())]
    Read {
        /// The .deb.
        package: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It has no data that we know.
    #[error("{}: {what}", package.display())]
    Format {
        /// The .deb.
        package: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Unpacking it failed.
    #[error("unpacking {package}: {action} {}", path.display())]
    Unpack {
        /// The package's name.
        package: String,
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Two packages hold different files of one name.
    #[error("{first} and {second} both hold {}, with different content", path.display())]
    Clash {
        /// The file.
        path: PathBuf,
        /// One package.
        first: String,
        /// Another.
        second: String,
    },
    /// The store said no.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The lock said no.
    #[error(transparent)]
    Lock(#[from] crate::lock::LockError),
}

/// An entry whose content is still in the stream.
pub(super) struct Streamed<'a> {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) kind: StreamedKind<'a>,
}

pub(super) enum StreamedKind<'a> {
    File(&'a mut dyn Read),
    Directory,
    Symlink(PathBuf),
    Hardlink(PathBuf),
}

/// The entries whose path `wanted` accepts, contents in memory.
///
/// # Errors
/// It is no package that we can read.
pub fn read_files(package: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<DebEntry>, DebError> {
    let mut found = Vec::new();
    walk(package, |entry| {
        if !wanted(&entry.path) {
            return Ok(());
        }
        let kind = match entry.kind {
            StreamedKind::File(content) => {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).map_err(read_error(package))?;
                DebEntryKind::File(bytes)
            }
            StreamedKind::Directory => DebEntryKind::Directory,
            StreamedKind::Symlink(target) => DebEntryKind::Symlink(target),
            StreamedKind::Hardlink(target) => DebEntryKind::Hardlink(target),
        };
        found.push(DebEntry { path: entry.path, mode: entry.mode, kind });
        Ok(())
    })?;
    Ok(found)
}

/// Hands every entry to `each`, in archive order.
pub(super) fn walk(
    package: &Path,
    mut each: impl FnMut(Streamed<'_>) -> Result<(), DebError>,
) -> Result<(), DebError> {
    let format = |what: String| DebError::Format { package: package.to_path_buf(), what };
    let failed = read_error(package);
    let mut archive = ar::Archive::new(BufReader::new(File::open(package).map_err(&failed)?));
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(&failed)?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        let Some(kind) = name.trim_end_matches('/').strip_prefix("data.tar") else { continue };
        let data: Box<dyn Read> = match kind {
            "" => Box::new(member),
            ".xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(member)),
            ".gz" => Box::new(flate2::read::MultiGzDecoder::new(member)),
            ".zst" => Box::new(zstd::stream::read::Decoder::new(member).map_err(&failed)?),
            other => return Err(format(format!("its data is compressed as {other}, which is unknown here"))),
        };
        let mut data = tar::Archive::new(data);
        for entry in data.entries().map_err(&failed)? {
            let mut entry = entry.map_err(&failed)?;
            let path = entry.path().map_err(&failed)?.into_owned();
            let path = merged(&path).ok_or_else(|| format(format!("{} leads out of it", path.display())))?;
            let mode = entry.header().mode().map_err(&failed)? & 0o7777;
            let target = |entry: &tar::Entry<'_, _>| {
                let target = entry.link_name().map_err(&failed)?.map(|target| target.into_owned());
                target.ok_or_else(|| format(format!("the link {} says nothing", path.display())))
            };
            let kind = match entry.header().entry_type() {
                EntryType::Directory => StreamedKind::Directory,
                EntryType::Symlink => StreamedKind::Symlink(target(&entry)?),
                EntryType::Link => {
                    let target = target(&entry)?;
                    let inside = merged(&target);
                    StreamedKind::Hardlink(
                        inside.ok_or_else(|| format(format!("{} leads out of it", target.display())))?,
                    )
                }
                EntryType::Regular | EntryType::Continuous => StreamedKind::File(&mut entry),
                other => return Err(format(format!("{} is a {other:?}", path.display()))),
            };
            each(Streamed { path, mode, kind })?;
        }
        return Ok(());
    }
    Err(format("it has no data.tar".to_owned()))
}

fn read_error(package: &Path) -> impl Fn(std::io::Error) -> DebError {
    let package = package.to_path_buf();
    move |source| DebError::Read { package: package.clone(), source }
}

/// The absolute, usr-merged form of an archive's path; none for one that climbs out.
fn merged(path: &Path) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    let mut merged = PathBuf::from("/");
    let top = parts.first().and_then(|part| part.to_str());
    if parts.len() > 1 && matches!(top, Some("bin" | "sbin" | "lib" | "lib64")) {
        merged.push("usr");
    }
    merged.extend(parts);
    Some(merged)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A .deb with these files; a content that starts with `->` is a symbolic link.
    pub(crate) fn package(path: &Path, files: &[(&str, &str)]) {
        let mut data = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_size(0);
            if let Some(target) = content.strip_prefix("->") {
                header.set_entry_type(EntryType::Symlink);
                data.append_link(&mut header, name, target).unwrap();
            } else {
                header.set_size(u64::try_from(content.len()).unwrap());
                // Straight into the header: the builder refuses paths that the reader must refuse too.
                header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
                header.set_cksum();
                data.append(&header, content.as_bytes()).unwrap();
            }
        }
        let data = data.into_inner().unwrap().finish().unwrap();
        let mut archive = ar::Builder::new(File::create(path).unwrap());
        for (name, bytes) in [("debian-binary", b"2.0\n".as_slice()), ("data.tar.zst", &data)] {
            let header = ar::Header::new(name.into(), u64::try_from(bytes.len()).unwrap());
            archive.append(&header, bytes).unwrap();
        }
    }

    #[test]
    fn a_package_s_files_come_out_usr_merged() {
        let directory = tempfile::tempdir().unwrap();
        let deb = directory.path().join("a.deb");
        package(&deb, &[("./bin/sh", "->dash"), ("./usr/bin/dash", "shell"), ("./usr/share/doc/x", "no")]);
        let found = read_files(&deb, |path| path.starts_with("/usr/bin")).unwrap();
        let names: Vec<_> = found.iter().map(|entry| entry.path.to_str().unwrap()).collect();
        assert_eq!(names, ["/usr/bin/sh", "/usr/bin/dash"]);
        assert_eq!(found[0].kind, DebEntryKind::Symlink("dash".into()));
        assert_eq!(found[1].kind, DebEntryKind::File(b"shell".to_vec()));
    }

    #[test]
    fn a_path_that_climbs_out_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let deb = directory.path().join("a.deb");
        package(&deb, &[("./../etc/passwd", "root")]);
        assert!(matches!(read_files(&deb, |_| true), Err(DebError::Format { .. })));
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let deb = directory.path().join("a.deb");
        std::fs::write(&deb, "not an archive").unwrap();
        assert!(read_files(&deb, |_| true).is_err());
    }
}
