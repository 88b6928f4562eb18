//! Unmounts and syncs: a process of its own, because the kernel may never let it go.
//!
//! `init unmount`, started by [`super::finish`] when nobody else is left. What cannot be
//! unmounted is made read-only and taken out of the tree.

use std::fs;
use std::path::PathBuf;

use node_sys::{mount, power};

use super::mounts;

/// Rounds of unmounting: mounts hold each other in ways that their order does not tell.
const ROUNDS_MAX: usize = 10;

/// Does it.
pub fn run() {
    power::sync();
    let mut left = list();
    for _ in 0..ROUNDS_MAX {
        let before = left.len();
        left.retain(|path| mount::unmount(path).is_err());
        if left.is_empty() || left.len() == before {
            break;
        }
    }
    for path in left {
        // Whatever was written is safe after this, even if the mount can't be undone.
        let read_only = mount::remount_read_only(&path);
        let detached = mount::detach(&path);
        if let (Err(error), _) | (Ok(()), Err(error)) = (read_only, detached) {
            eprintln!("unmounting {}: {error}", path.display());
        }
    }
    power::sync();
}

fn list() -> Vec<PathBuf> {
    mounts::to_unmount(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}
