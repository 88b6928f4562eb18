//! What the image wants supervised, and what it is: /usr/share/slipway/services.table and label, read once.
//!
//! The builder has checked the set and laid it out, and has put the label into words, so nothing here parses text;
//! the root file system is verified. A table that cannot be read all the same leaves a machine without services,
//! which says so.

use std::fs;
use std::path::Path;

use machine_config::service::Table;

/// Reads the table at `path`.
///
/// # Errors
/// What to tell people.
pub fn load(path: &Path) -> Result<Table, String> {
    let bytes = fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    Table::decode(&bytes).map_err(|error| format!("reading {}: {error}", path.display()))
}

/// Reads the label at `path`: the image's role and version, as they are told.
///
/// # Errors
/// What to tell people.
pub fn label(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_cannot_be_read_is_told_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("services.table");
        let told = |path: &Path| load(path).unwrap_err().replace(&path.display().to_string(), "T");
        assert_eq!(told(&path), "reading T: No such file or directory (os error 2)");
        fs::write(&path, [7, 7, 7]).unwrap();
        assert!(told(&path).contains("version 7"), "{}", told(&path));
    }
}
