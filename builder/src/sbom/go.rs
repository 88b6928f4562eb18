//! The modules that are linked into a Go program, as the linker noted them in it.
//!
//! go.sum lists whatever a module graph touches; the program itself knows what it is made of.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use object::read::{Object as _, ObjectSection as _, ReadCache};

const SECTION: &str = ".go.buildinfo";
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Flag: version and modules follow inline, each with its length.
const INLINE: u8 = 2;
/// The section's head, before the strings.
const HEAD: usize = 32;
/// A sentinel of that many bytes stands before and behind the modules.
const SENTINEL: usize = 16;

/// A module in a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Module {
    pub(super) path: String,
    pub(super) version: String,
    /// Go's `h1:` hash; none for the main module.
    pub(super) sum: String,
}

/// The modules in the program at `path`; none if it is no Go program.
///
/// # Errors
/// It cannot be read.
pub(super) fn modules(path: &Path) -> Result<Vec<Module>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let cache = ReadCache::new(file);
    let Ok(elf) = object::File::parse(&cache) else { return Ok(Vec::new()) };
    let Some(section) = elf.section_by_name(SECTION) else { return Ok(Vec::new()) };
    let data = section.data().with_context(|| format!("reading {SECTION} of {}", path.display()))?;
    parse(data).with_context(|| format!("{SECTION} of {} is of another Go", path.display()))
}

fn parse(section: &[u8]) -> Option<Vec<Module>> {
    let head = section.get(..HEAD)?;
    if !head.starts_with(MAGIC) || head.get(15)? & INLINE == 0 {
        return None;
    }
    let (_version, rest) = string(section.get(HEAD..)?)?;
    let (modules, _) = string(rest)?;
    let text = modules.get(SENTINEL..modules.len().checked_sub(SENTINEL)?)?;
    Some(list(&String::from_utf8_lossy(text)))
}

/// A length as a varint, and so many bytes.
fn string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (at, byte) in data.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return data.get(at + 1..)?.split_at_checked(length);
        }
    }
    None
}

/// Lines `dep PATH VERSION SUM`; a line `=> PATH VERSION SUM` replaces the one before it.
fn list(text: &str) -> Vec<Module> {
    let mut modules = Vec::new();
    for line in text.lines() {
        let mut words = line.split('\t');
        let (Some(kind), Some(path), Some(version)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let module = Module {
            path: path.to_owned(),
            version: version.to_owned(),
            sum: words.next().unwrap_or_default().to_owned(),
        };
        match kind {
            "dep" => modules.push(module),
            "=>" => {
                modules.pop();
                modules.push(module);
            }
            _ => {}
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Vec<u8> {
        let mut modules = vec![b'0'; SENTINEL];
        modules.extend(text.as_bytes());
        modules.extend([b'0'; SENTINEL]);
        let mut data = MAGIC.to_vec();
        data.extend([8, INLINE]);
        data.resize(HEAD, 0);
        for part in [b"go1.26".as_slice(), &modules] {
            let length = part.len();
            data.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
            data.extend(part);
        }
        data
    }

    #[test]
    fn modules_are_those_linked_in_with_replacements_applied() {
        let text = "path\tx\nmod\tx\t(devel)\t\ndep\ta.b/c\tv1.2.3\th1:s\ndep\told\tv1.0.0\t\n=>\tnew\tv2.0.0\th1:t\n\
                    build\t-tags=x\n";
        let module = |path: &str, version: &str, sum: &str| Module {
            path: path.to_owned(),
            version: version.to_owned(),
            sum: sum.to_owned(),
        };
        assert_eq!(
            parse(&section(text)).unwrap(),
            [module("a.b/c", "v1.2.3", "h1:s"), module("new", "v2.0.0", "h1:t")]
        );
    }

    #[test]
    fn a_cut_section_is_refused() {
        let whole = section("dep\ta\tv1\th1:s\n");
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
    }
}
