//! Which mounts are undone at the end, and in which order: the newest first.
//!
//! Text of /proc/self/mountinfo in, paths out. The kernel's own file systems stay: they hold
//! nothing, and the last steps need them.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Mounts at or below these stay.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Mounts at exactly these stay: the root is read-only, and the others are memory.
const OURS: [&str; 3] = ["/", "/run", "/tmp"];

/// What to unmount, in this order.
pub(super) fn to_unmount(mountinfo: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescaped)
        .filter(|path| !KERNELS.iter().any(|kernels| path.starts_with(kernels)))
        .filter(|path| !OURS.iter().any(|ours| path == Path::new(ours)))
        .collect();
    paths.reverse();
    paths
}

/// A path with the kernel's `\040` for a space, and the like, undone.
pub(crate) fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.first_chunk::<3>().and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_mount_goes_first_and_the_kernels_stay() {
        let mountinfo = "\
21 1 254:0 / / ro,relatime shared:1 - erofs /dev/dm-0 ro
22 21 0:20 / /proc rw,nosuid shared:2 - proc proc rw
23 21 0:21 / /run rw,nosuid shared:3 - tmpfs tmpfs rw
24 21 8:1 / /state rw shared:4 - ext4 /dev/vda1 rw
25 21 8:2 / /var rw shared:5 - ext4 /dev/vda2 rw
26 22 0:22 / /proc/cpuinfo rw shared:6 - tmpfs tmpfs rw
27 23 0:23 / /run/containerd/a\\040b/rootfs rw shared:7 - overlay overlay rw
28 25 0:24 / /var/lib/kubelet/pods/x rw shared:8 - tmpfs tmpfs rw
";
        let paths = to_unmount(mountinfo);
        let expected =
            ["/var/lib/kubelet/pods/x", "/run/containerd/a b/rootfs", "/var", "/state"].map(PathBuf::from);
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_backslash_that_escapes_nothing_stays() {
        assert_eq!(unescaped("/a\\9b\\"), PathBuf::from("/a\\9b\\"));
    }
}
