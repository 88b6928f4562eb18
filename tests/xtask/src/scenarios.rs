//! The table of scenarios, kept true: every test that it names exists, and no scenario is missing.
//!
//! tests/scenarios.md is for people who ask what is tested; a name in it that nobody has any more
//! would be a promise that nobody keeps. Names are found as `fn NAME(` in the sources' text.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

/// Scenarios of reference/supervisors.md section 4.
const SCENARIOS: u32 = 46;

/// Checks the table of the checkout at `root`.
///
/// # Errors
/// All complaints, one per line.
pub fn run(root: &Path) -> Result<()> {
    let table = root.join("tests/scenarios.md");
    let text = fs::read_to_string(&table).with_context(|| format!("reading {}", table.display()))?;
    let complaints = complaints(&text, &tests(&root.join("init"))?);
    if !complaints.is_empty() {
        bail!("tests/scenarios.md:\n  {}", complaints.join("\n  "));
    }
    Ok(())
}

/// The names of all functions below `directory`.
fn tests(directory: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in WalkDir::new(directory) {
        let entry = entry.context("listing the checkout")?;
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("reading {}", entry.path().display()))?;
            names.extend(functions(&text).map(str::to_owned));
        }
    }
    Ok(names)
}

fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|after| after.split_once('(').map(|(name, _)| name))
}

/// What is wrong with the table `text` if these are the functions that there are.
fn complaints(text: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    // Every second piece is between backticks; what looks like a path or a command is no test.
    let named = text.split('`').skip(1).step_by(2);
    let is_name = |name: &&str| name.contains('_') && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    for name in named.filter(is_name).filter(|name| !functions.contains(*name)) {
        complaints.push(format!("there is no test {name}"));
    }
    for number in 1..=SCENARIOS {
        let row = text.lines().find(|line| line.starts_with(&format!("| S{number} ")));
        if !row.is_some_and(|row| row.contains('`')) {
            complaints.push(format!("no test for S{number}"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: impl Iterator<Item = u32>, test: &str) -> String {
        rows.map(|number| format!("| S{number} something | `{test}` | core |\n")).collect()
    }

    fn these(text: &str) -> BTreeSet<String> {
        functions(text).map(str::to_owned).collect()
    }

    #[test]
    fn a_whole_table_of_tests_that_exist_is_well() {
        let found = these("/// S1.\nfn it_holds(boot: &Boot) {\n}\nfn other() {}\n");
        let text = format!("`cargo test` in `a/b_c`\n{}", table(1..=SCENARIOS, "it_holds"));
        assert_eq!(complaints(&text, &found), Vec::<String>::new());
    }

    #[test]
    fn the_table_of_this_checkout_is_well() {
        run(&crate::run::root()).unwrap();
    }

    #[test]
    fn a_test_that_is_gone_and_a_scenario_without_one_are_found() {
        let found = these("fn it_holds() {}");
        let missing = table((1..=SCENARIOS).filter(|number| *number != 4), "it_holds");
        assert_eq!(complaints(&missing, &found), ["no test for S4"]);
        let empty = missing + "| S4 something | | open |\n";
        assert_eq!(complaints(&empty, &found), ["no test for S4"]);
        let gone = table(1..=SCENARIOS, "it_held");
        assert_eq!(complaints(&gone, &found)[0], "there is no test it_held");
    }
}
