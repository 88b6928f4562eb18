//! The order of boots: their ids, oldest first, in a file beside the services' lines.
//!
//! The wall clock may have been wrong in any of them, so their order is written down as they
//! come. A boot that is not in the list is older than all that are.

use std::fs;
use std::io;
use std::path::Path;

use super::record::BootId;
use crate::agent::files;

/// The file's name.
const NAME: &str = "boots";
/// The most boots that are remembered: more than any share of the disk holds lines of.
const BOOTS_MAX: usize = 200;

/// The boots that are known, oldest first.
#[must_use]
pub fn known(directory: &Path) -> Vec<BootId> {
    // Without the list lines are still there, only their boots have no order.
    let text = fs::read_to_string(directory.join(NAME)).unwrap_or_default();
    text.lines().filter_map(BootId::parse).collect()
}

/// Adds `boot` as the latest, unless it is so already.
///
/// # Errors
/// Those of writing the file.
pub fn note(directory: &Path, boot: BootId) -> io::Result<()> {
    let mut boots = known(directory);
    if boots.last() == Some(&boot) {
        return Ok(());
    }
    boots.push(boot);
    let text: String =
        boots.iter().skip(boots.len().saturating_sub(BOOTS_MAX)).map(|id| format!("{id}\n")).collect();
    files::replace(&directory.join(NAME), text.as_bytes(), 0o600).map(drop).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_are_listed_once_each_as_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = [BootId([1; 16]), BootId([2; 16])];
        for boot in [a, a, b, b] {
            note(dir.path(), boot).unwrap();
        }
        assert_eq!(known(dir.path()), [a, b]);
    }
}
