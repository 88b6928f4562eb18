//! The last lines before a service's first and latest failure, set apart.
//!
//! A crash loop rotates the evidence out of any ring. PID 1 says when a service has failed (`word`);
//! then its last lines are written to a file of their own, which is a segment like any other. The
//! first stays for the whole boot.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;

use super::block::{self, Header};
use super::record::BootId;
use super::segment::{self, Next, Reader};

/// The first failure's lines.
pub const FIRST: &str = "first.failure";
/// The latest failure's lines.
pub const LATEST: &str = "latest.failure";

/// How many lines are set apart.
const LINES: usize = 64;

/// Sets the last lines in `memory` apart, and gives them with their moments in microseconds since boot.
///
/// # Errors
/// Those of reading and writing files.
pub fn set_apart(memory: &Path, boot: BootId) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let mut last: VecDeque<(Header, Vec<u8>)> = VecDeque::new();
    for number in segment::list(memory)? {
        let Some(mut reader) = Reader::open(&segment::path(memory, number))? else { continue };
        while let Next::Block(header) = reader.next()? {
            let lines = header.lines as usize;
            let skip = lines.saturating_sub(LINES);
            for (number, text) in header.split(reader.text()).skip(skip) {
                if last.len() == LINES {
                    last.pop_front();
                }
                let cut = header.flags & block::CUT != 0;
                let text = if cut { text.to_vec() } else { [text, b"\n"].concat() };
                last.push_back((Header { first: number, lines: 1, ..header }.over(&text), text));
            }
        }
    }
    let mut bytes = block::prefix(boot, 0).to_vec();
    for (header, text) in &last {
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(text);
    }
    fs::create_dir_all(memory)?;
    if !memory.join(FIRST).exists() {
        write(memory, FIRST, &bytes)?;
    }
    write(memory, LATEST, &bytes)?;
    Ok(last.into_iter().map(|(header, text)| (header.monotonic, text)).collect())
}

/// Whole or not at all; it is a tmpfs, so there is nothing to sync.
fn write(memory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = memory.join("new.failure");
    fs::write(&new, bytes)?;
    fs::rename(new, memory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logd::ring::Ring;

    const BOOT: BootId = BootId([5; 16]);

    fn say(ring: &mut Ring, from: usize, lines: usize) {
        let text: String = (from..from + lines).map(|n| format!("{n}\n")).collect();
        let header = Header { lines: u32::try_from(lines).unwrap(), ..Header::default() };
        ring.append(header, text.as_bytes()).unwrap();
    }

    fn apart(path: &Path) -> Vec<String> {
        let mut reader = Reader::open(path).unwrap().unwrap();
        let mut lines = Vec::new();
        while let Next::Block(header) = reader.next().unwrap() {
            lines.extend(
                header.split(reader.text()).map(|(_, text)| String::from_utf8(text.to_vec()).unwrap()),
            );
        }
        lines
    }

    #[test]
    fn the_first_failures_lines_stay_whatever_comes_after() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(dir.path(), BOOT).unwrap();
        say(&mut ring, 0, 40);
        say(&mut ring, 40, 60);
        set_apart(dir.path(), BOOT).unwrap();
        for n in 0..300 {
            say(&mut ring, n * 1000, 1000);
        }
        set_apart(dir.path(), BOOT).unwrap();
        let expected = |last: usize| (last - 63..=last).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(apart(&dir.path().join(FIRST)), expected(99));
        assert_eq!(apart(&dir.path().join(LATEST)), expected(299_999));
    }

    #[test]
    fn a_service_that_failed_without_a_word_has_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        set_apart(&dir.path().join("etcd"), BOOT).unwrap();
        assert_eq!(apart(&dir.path().join("etcd").join(FIRST)), Vec::<String>::new());
    }
}
