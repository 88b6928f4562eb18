//! Today's date in compiled files.
//!
//! Two builds on one day agree although both wrote down the day; two builds in one second would
//! agree on the second, too. What is compiled here has no reason to name today in any
//! spelling that compilers, linkers and build scripts use. Debian's files are not looked at: they
//! were built elsewhere, maybe today.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::tz::{Offset, TimeZone};
use memchr::memmem;
use walkdir::WalkDir;

use crate::tally::Tally;

/// Spellings of a day, as `strftime` has them: ISO 8601, C's `__DATE__`, RFC 1123, ctime.
const SPELLINGS: [&str; 4] = ["%Y-%m-%d", "%b %e %Y", "%d %b %Y", "%a %b %e %H:"];

/// Every spelling of now, here and where the second build believes to be.
pub fn today() -> Vec<String> {
    [0, 14].into_iter().flat_map(|hours| spellings(jiff::Timestamp::now(), hours)).collect()
}

fn spellings(now: jiff::Timestamp, hours: i8) -> Vec<String> {
    let there = now.to_zoned(TimeZone::fixed(Offset::constant(hours)));
    SPELLINGS.map(|spelling| there.strftime(spelling).to_string()).into()
}

/// Looks through the files of a component's result.
///
/// # Errors
/// Something cannot be read.
pub fn check(name: &str, result: &Path, day: &[String]) -> Result<Tally> {
    let packages = result.join("packages.json");
    let packages = fs::read(&packages).with_context(|| format!("reading {}", packages.display()))?;
    let mut held = true;
    if packages == b"{}" {
        for entry in WalkDir::new(result.join("files")) {
            let entry = entry.with_context(|| format!("listing {}", result.display()))?;
            if !entry.file_type().is_file() {
                continue;
            }
            let bytes =
                fs::read(entry.path()).with_context(|| format!("reading {}", entry.path().display()))?;
            if let Some((spelling, at)) = find(&bytes, day) {
                println!(
                    "component {name}: {} has today's date, {spelling:?}, at byte {at}",
                    entry.path().display()
                );
                held = false;
            }
        }
    }
    Ok(Tally { passed: usize::from(held), failed: usize::from(!held), skipped: 0 })
}

fn find<'a>(bytes: &[u8], day: &'a [String]) -> Option<(&'a str, usize)> {
    day.iter().find_map(|spelling| Some((spelling.as_str(), memmem::find(bytes, spelling.as_bytes())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_found_in_the_spelling_of_each_tool() {
        let day = spellings("2026-11-05T23:30:00Z".parse().unwrap(), 0);
        for text in ["2026-11-05T23:30", "Nov  5 2026", "Thu, 05 Nov 2026", "Thu Nov  5 23:30:00 UTC 2026"] {
            assert!(find(text.as_bytes(), &day).is_some(), "{text}: {day:?}");
        }
        assert!(find(b"Nov  4 2026 2026-12-05", &day).is_none());
    }

    #[test]
    fn where_it_is_tomorrow_already_counts_too() {
        let day = spellings("2026-11-05T23:30:00Z".parse().unwrap(), 14);
        assert!(find(b"2026-11-06", &day).is_some());
    }

    #[test]
    fn a_component_that_names_today_is_not_reproducible() {
        let result = tempfile::tempdir().unwrap();
        fs::create_dir(result.path().join("files")).unwrap();
        fs::write(result.path().join("packages.json"), "{}").unwrap();
        fs::write(result.path().join("files/program"), "built on Nov  5 2026").unwrap();
        let day = spellings("2026-11-05T23:30:00Z".parse().unwrap(), 0);
        assert_eq!(check("program", result.path(), &day).unwrap().failed, 1);
    }
}
