//! What is mounted, from /proc/self/mounts.
//!
//! Sizes come from each file system itself; those that hold nothing have none. Format: fstab(5), with octal escapes
//! for white space.

use node_api::reply::Mount;

use crate::shutdown::mounts::unescaped;

/// Reads the kernel's list; sizes are not in it.
#[must_use]
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mount> {
    let mut words = line.split(' ').map(unescape);
    Some(Mount {
        source: words.next()?,
        target: words.next()?,
        kind: words.next()?,
        options: words.next()?,
        size_bytes: None,
        available_bytes: None,
    })
}

/// `\040` is a space.
fn unescape(word: &str) -> String {
    unescaped(word).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_its_escapes() {
        let mounts = parse("/dev/dm-0 / erofs ro,relatime 0 0\ntmpfs /a\\040b\\134 tmpfs rw 0 0\nbroken\n");
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].source.as_str(), mounts[0].kind.as_str()), ("/dev/dm-0", "erofs"));
        assert_eq!(mounts[1].target, "/a b\\");
        assert_eq!(unescape("\\9\\"), "\\9\\");
    }
}
