//! Breaking PID 1 on purpose: does a test notice?
//!
//! Each entry of tests/mutants.toml is a small change of one file and the tests that must go
//! red by it. Applied one at a time to a copy of the checkout with a target directory of its
//! own, so that only init is compiled anew. A change that no longer fits its file is an error, and so are tests
//! that were left out: a list that tests nothing must not look like one that does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;

use crate::run::{cargo, command, loud, root, slipway_path, target_dir};

/// The list.
const LIST: &str = "tests/mutants.toml";
/// How many invariants there are.
const INVARIANTS: u8 = 22;
/// How many seconds the tests of one mutant may take; one that makes them hang is caught, too.
const PATIENCE: &str = "600";
/// So many of a hundred must be caught.
const CAUGHT_MIN: usize = 95;
/// The test program whose tests are machines.
const MACHINES: &str = "pid1";
/// What names the `slipway` that tells machines where their kernel is; it is built if nothing does.
const SLIPWAY: &str = "SLIPWAY";

/// Breaks PID 1 in the ways of tests/mutants.toml.
#[derive(Debug, Parser)]
pub struct Args {
    /// Only those whose name contains this
    only: Option<String>,
    /// Only check that every change fits its file
    #[arg(long)]
    dry: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

/// One way to break it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// What is then wrong, in words.
    name: String,
    /// Which invariant of reference/supervisors.md 5.9 that breaks.
    invariant: u8,
    /// The file, from the root of the checkout.
    file: String,
    /// What stands there, exactly once.
    find: String,
    /// What stands there instead.
    replace: String,
    /// The test program of init that they are in; its unit tests without it.
    program: Option<String>,
    /// The tests that must notice, as cargo filters them.
    test: String,
}

/// The tests that must notice.
type Tests<'a> = (Option<&'a str>, &'a str);

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Caught,
    Missed,
    /// It does not compile: the compiler notices, but no test was tried.
    Unbuilt,
}

/// Tries every mutant.
///
/// # Errors
/// Too many are missed, one does not fit or does not compile, or the tests fail without any.
pub fn run(args: &Args) -> Result<()> {
    let text = fs::read_to_string(root().join(LIST)).with_context(|| format!("reading {LIST}"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("reading {LIST}"))?;
    let wanted = |mutant: &&Mutant| args.only.as_ref().is_none_or(|only| mutant.name.contains(only));
    let mutants: Vec<&Mutant> = list.mutant.iter().filter(wanted).collect();
    ensure!(!mutants.is_empty(), "no mutant is called that");
    for mutant in &list.mutant {
        let path = root().join(&mutant.file);
        mutant.apply(&fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?)?;
    }
    let broken: BTreeSet<u8> = list.mutant.iter().map(|mutant| mutant.invariant).collect();
    ensure!(broken.iter().copied().eq(1..=INVARIANTS), "not every invariant has a mutant: {broken:?}");
    if args.dry {
        println!("{} mutants fit their files", list.mutant.len());
        return Ok(());
    }
    let copy = Copy::of_the_checkout()?;
    let tests: BTreeSet<Tests<'_>> = mutants.iter().map(|mutant| mutant.tests()).collect();
    if tests.iter().any(|(program, _)| *program == Some(MACHINES)) && std::env::var_os(SLIPWAY).is_none() {
        loud(&mut cargo(&["build", "--quiet", "--package", "slipway"]))?;
    }
    for tests in tests {
        let verdict = copy.test(tests)?;
        ensure!(verdict == Verdict::Missed, "tests {}: they fail without any mutant", tests.1);
    }
    let mut verdicts = Vec::new();
    for mutant in mutants {
        let verdict = copy.try_out(mutant)?;
        println!("{verdict:?}: invariant {}: {}", mutant.invariant, mutant.name);
        verdicts.push(verdict);
    }
    judge(&verdicts)
}

fn judge(verdicts: &[Verdict]) -> Result<()> {
    let count = |verdict| verdicts.iter().filter(|found| **found == verdict).count();
    let (caught, unbuilt) = (count(Verdict::Caught), count(Verdict::Unbuilt));
    println!("{caught} of {} mutants caught", verdicts.len());
    if unbuilt > 0 {
        bail!("{unbuilt} mutants do not compile, so they test nothing");
    }
    if caught * 100 < verdicts.len() * CAUGHT_MIN {
        bail!("less than {CAUGHT_MIN} % of the mutants are caught");
    }
    Ok(())
}

impl Mutant {
    /// The file's text, broken.
    fn apply(&self, text: &str) -> Result<String> {
        let found = text.matches(&self.find).count();
        ensure!(found == 1, "mutant {:?}: {} has its text {found} times, not once", self.name, self.file);
        Ok(text.replacen(&self.find, &self.replace, 1))
    }

    fn tests(&self) -> Tests<'_> {
        (self.program.as_deref(), &self.test)
    }
}

/// A copy of the checkout, to be broken.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn of_the_checkout() -> Result<Self> {
        let home = target_dir().join("mutants");
        let copy = Self { tree: home.join("tree"), target: home.join("target") };
        let listed = command("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("listing the checkout")?;
        ensure!(listed.status.success(), "listing the checkout: git ended with {}", listed.status);
        let names = String::from_utf8(listed.stdout).context("listing the checkout")?;
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            copy.take(Path::new(name)).with_context(|| format!("copying {name}"))?;
        }
        Ok(copy)
    }

    /// Copies a file unless it is there already: cargo goes by times.
    fn take(&self, name: &Path) -> Result<()> {
        let (from, to) = (root().join(name), self.tree.join(name));
        // Listed but deleted, or a link to somewhere else: not what init is compiled from.
        let Ok(bytes) = fs::read(&from) else { return Ok(()) };
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&to, bytes)?;
        Ok(())
    }

    fn try_out(&self, mutant: &Mutant) -> Result<Verdict> {
        let path = self.tree.join(&mutant.file);
        let whole = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let write =
            |text: &str| fs::write(&path, text).with_context(|| format!("writing {}", path.display()));
        write(&mutant.apply(&whole)?)?;
        let verdict =
            if self.builds(mutant.tests())? { self.test(mutant.tests()) } else { Ok(Verdict::Unbuilt) };
        write(&whole)?;
        verdict
    }

    fn builds(&self, tests: Tests<'_>) -> Result<bool> {
        let built = self.cargo(tests).arg("--no-run").stdout(Stdio::null()).status();
        Ok(built.context("compiling a mutant")?.success())
    }

    /// `cargo test` of the program that these tests are in. Too late, it ends with all that it started.
    fn cargo(&self, (program, _): Tests<'_>) -> Command {
        let mut cargo = Command::new("timeout");
        cargo.args(["--kill-after", "5", PATIENCE, option_env!("CARGO").unwrap_or("cargo")]);
        cargo.args(["test", "--quiet", "--package", "init"]);
        match program {
            None => cargo.arg("--lib"),
            Some(program) => cargo.args(["--test", program]),
        };
        cargo
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "1")
            // Whether a case fails is asked, not which is the smallest.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            // Nor is it kept, to be tried first the next time.
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            .env(SLIPWAY, std::env::var_os(SLIPWAY).unwrap_or_else(|| slipway_path().into()))
            .stderr(Stdio::null());
        cargo
    }

    /// Whether the tests notice: they fail, or take for ever. Tests that do not exist or were left out notice nothing,
    /// which is an error, with a mutant and without.
    fn test(&self, tests: Tests<'_>) -> Result<Verdict> {
        let ran = self.cargo(tests).arg(tests.1).output().context("starting cargo")?;
        if !ran.status.success() {
            return Ok(Verdict::Caught);
        }
        let said = String::from_utf8_lossy(&ran.stdout);
        ensure!(said.lines().any(has_passed), "tests {}: there are none, or they were left out", tests.1);
        Ok(Verdict::Missed)
    }
}

/// Whether this line says that a test ran and passed.
fn has_passed(line: &str) -> bool {
    line.strip_prefix("test result: ok. ").is_some_and(|counts| !counts.starts_with("0 passed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant() -> Mutant {
        Mutant {
            name: "x".to_owned(),
            invariant: 1,
            file: "a.rs".to_owned(),
            find: "a < b".to_owned(),
            replace: "a <= b".to_owned(),
            program: None,
            test: "t".to_owned(),
        }
    }

    #[test]
    fn a_change_is_made_where_it_fits_exactly_once() {
        assert_eq!(mutant().apply("if a < b {}").unwrap(), "if a <= b {}");
        assert!(mutant().apply("nothing").is_err());
        assert!(mutant().apply("a < b, a < b").is_err());
    }

    #[test]
    fn nineteen_of_twenty_caught_are_enough_and_one_that_does_not_compile_is_too_many() {
        let mut verdicts = vec![Verdict::Caught; 19];
        verdicts.push(Verdict::Missed);
        assert!(judge(&verdicts).is_ok());
        verdicts.push(Verdict::Missed);
        assert!(judge(&verdicts).is_err());
        assert!(judge(&[Verdict::Caught, Verdict::Unbuilt]).is_err());
    }

    #[test]
    fn tests_that_were_left_out_have_not_passed() {
        assert!(has_passed("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out"));
        assert!(!has_passed("test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out"));
    }

    #[test]
    fn every_mutant_of_the_list_fits_its_file() {
        run(&Args { only: None, dry: true }).unwrap();
    }
}
