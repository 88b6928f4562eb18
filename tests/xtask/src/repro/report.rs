//! What people see of a comparison: a line for each file that matters, and how to look further.
//!
//! One comparison of two directories counts as one promise, kept or broken.

use std::path::Path;

use anyhow::{Result, ensure};

use super::compare::{self, Compared, Verdict};
use crate::tally::Tally;

/// Which files get a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Every one.
    All,
    /// Those that differ; the rest is one row.
    Differences,
}

/// Compares two directories and prints how.
///
/// # Errors
/// Something cannot be read, or there is nothing to compare.
pub fn directories(title: &str, first: &Path, second: &Path, rows: Rows) -> Result<Tally> {
    let compared = compare::directories(first, second)?;
    ensure!(!compared.is_empty(), "{title}: nothing to compare in {}", first.display());
    let differ: Vec<&Compared> = compared.iter().filter(|one| one.verdict != Verdict::Same).collect();
    match rows {
        Rows::All => compared.iter().for_each(|one| println!("{}", row(title, one))),
        Rows::Differences if differ.is_empty() => println!("{}", summary(title, &compared)),
        Rows::Differences => differ.iter().for_each(|one| println!("{}", row(title, one))),
    }
    for one in &differ {
        println!("  cmp {} {}", first.join(&one.path).display(), second.join(&one.path).display());
    }
    let held = differ.is_empty();
    Ok(Tally { passed: usize::from(held), failed: usize::from(!held), skipped: 0 })
}

fn row(title: &str, one: &Compared) -> String {
    let digest = one.sha256.get(..16).unwrap_or_default();
    format!("{title:<24} {:<28} {:>11}  {digest:<16}  {}", one.path.display(), one.size, one.verdict)
}

/// One row for files that all agree; the digest is the manifest's, which has those of the others.
fn summary(title: &str, compared: &[Compared]) -> String {
    let manifest = compared.iter().find(|one| one.path == Path::new("manifest.json"));
    let digest = manifest.and_then(|one| one.sha256.get(..16)).unwrap_or_default();
    let size: u64 = compared.iter().map(|one| one.size).sum();
    let files = format!("{} files", compared.len());
    format!("{title:<24} {files:<28} {size:>11}  {digest:<16}  {}", Verdict::Same)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_difference_is_named_with_its_file_and_offset_and_fails() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join("slot.img"), "abcd").unwrap();
        fs::write(other.path().join("slot.img"), "abXd").unwrap();
        for rows in [Rows::All, Rows::Differences] {
            assert_eq!(directories("role lb", one.path(), other.path(), rows).unwrap().failed, 1);
        }
        let compared = compare::directories(one.path(), other.path()).unwrap();
        let row = row("role lb", &compared[0]);
        assert!(row.contains("slot.img") && row.ends_with("DIFFERS at byte 2"), "{row}");
    }

    #[test]
    fn nothing_to_compare_is_an_error_and_no_pass() {
        let empty = tempfile::tempdir().unwrap();
        assert!(directories("role lb", empty.path(), empty.path(), Rows::All).is_err());
    }
}
