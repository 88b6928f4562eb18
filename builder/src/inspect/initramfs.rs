//! An initramfs: the files in its archive, and whether it is compressed.
//!
//! The cpio format is `image_format::cpio`'s, what belongs into an initramfs is
//! `emit::initramfs`' to say. The whole archive is read, so a truncated or damaged one is an
//! error here and not a machine that stops before its first line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use anyhow::{Context as _, Result};
use image_format::cpio;
use image_format::manifest::Kind as NodeKind;
use serde::Serialize;

use super::entry::{Entry, Kind, lines};

/// What an initramfs holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InitramfsReport {
    /// Whether it is compressed with zstd.
    pub compressed: bool,
    /// Bytes of its file.
    pub size: u64,
    /// Its files.
    pub files: Vec<Entry>,
}

impl InitramfsReport {
    pub(super) fn read(file: &File) -> Result<Self> {
        let size = file.metadata().context("measuring it")?.len();
        let mut reader = BufReader::new(file);
        let compressed = !reader.fill_buf().context("reading it")?.starts_with(b"0707");
        let stream: Box<dyn Read> =
            if compressed { Box::new(zstd::Decoder::with_buffer(reader)?) } else { Box::new(reader) };
        let manifest = cpio::read(stream)?;
        let files = manifest
            .iter()
            .skip(1)
            .map(|(path, node)| {
                let (kind, target) = match &node.kind {
                    NodeKind::Directory {} => (Kind::Directory, None),
                    NodeKind::File { .. } => (Kind::File, None),
                    NodeKind::Symlink { target } => (Kind::Symlink, Some(target.clone())),
                };
                let (path, size) = (path.to_string(), node.size());
                Entry { path, kind, mode: node.mode, uid: node.uid, gid: node.gid, size, target }
            })
            .collect();
        Ok(Self { compressed, size, files })
    }

    pub(super) fn text(&self) -> String {
        let form = if self.compressed { "zstd" } else { "not compressed" };
        format!("initramfs, {} bytes, {form}\n{}", self.size, lines(&self.files))
    }
}
