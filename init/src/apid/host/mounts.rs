//! What is mounted, from /proc/self/mounts.
//!
//! Sizes come from each file system itself; those that hold nothing have none. Format: fstab(5), with octal escapes
//! for white space.

use node_api::reply::Mount;

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
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match code {
            Some(code) => {
                text.push(char::from(code));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
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
