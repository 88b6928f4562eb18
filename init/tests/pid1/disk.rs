//! Disks of a scenario's machine, seen from the host: an ext4 file system each.
//!
//! Made without root, and read when the machine has ended, as the next boot would find it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ext4_view::Ext4;
use mkext4::sink::FileSink;
use mkext4::{FsBuilder, Options};

/// Room for what scenarios write, and for the journal.
const SIZE: u64 = 64 << 20;
/// Where the superblock begins, and in it the state and the features that a kernel must know.
const SUPERBLOCK: u64 = 1024;
const STATE: u64 = 0x3a;
const INCOMPATIBLE: u64 = 0x60;
/// Its journal holds what is not in place yet.
const NEEDS_RECOVERY: u32 = 4;

/// Makes one at `path`.
pub(crate) fn make(path: &Path) {
    let layout = FsBuilder::new(Options::new(SIZE, *b"slipway-scenario", 0)).unwrap().seal().unwrap();
    let mut sink = FileSink::create(path, layout.image_len()).unwrap();
    layout.writer(&mut sink).unwrap().finish().unwrap();
}

/// Whether it was unmounted, or made read-only.
pub(crate) fn is_clean(path: &Path) -> bool {
    let file = File::open(path).unwrap();
    let (mut state, mut features) = ([0; 2], [0; 4]);
    file.read_exact_at(&mut state, SUPERBLOCK + STATE).unwrap();
    file.read_exact_at(&mut features, SUPERBLOCK + INCOMPATIBLE).unwrap();
    u16::from_le_bytes(state) & 1 == 1 && u32::from_le_bytes(features) & NEEDS_RECOVERY == 0
}

/// A file's text.
pub(crate) fn read(path: &Path, file: &str) -> String {
    Ext4::load(Box::new(std::fs::read(path).unwrap())).unwrap().read_to_string(file).unwrap()
}
