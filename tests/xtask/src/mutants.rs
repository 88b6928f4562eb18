//! Breaking the decision core on purpose: does a test notice?
//!
//! Each entry of tests/mutants.toml is a small change of one file and the tests that must go
//! red by it. Applied one at a time to a copy of the checkout with a target directory of its
//! own, so that only init is compiled anew. A change that no longer fits its file is an error:
//! a list that tests nothing must not look like one that does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;

use crate::run::{command, root, target_dir};

/// The list.
const LIST: &str = "tests/mutants.toml";
/// How long the tests of one mutant may take; one that makes them hang is caught, too.
const PATIENCE: Duration = Duration::from_secs(900);
/// So many of a hundred must be caught.
const CAUGHT_MIN: usize = 90;

/// Breaks the decision core in the ways of tests/mutants.toml.
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
    /// The tests that must notice, as cargo filters them.
    test: String,
}

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
    if args.dry {
        println!("{} mutants fit their files", list.mutant.len());
        return Ok(());
    }
    let copy = Copy::of_the_checkout()?;
    let mut filters: Vec<&str> = mutants.iter().map(|mutant| mutant.test.as_str()).collect();
    filters.sort_unstable();
    filters.dedup();
    for filter in filters {
        let verdict = copy.test(filter)?;
        ensure!(verdict == Verdict::Missed, "tests {filter}: they fail, or do not exist, without any mutant");
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
        let verdict = if self.builds()? { self.test(&mutant.test) } else { Ok(Verdict::Unbuilt) };
        write(&whole)?;
        verdict
    }

    fn builds(&self) -> Result<bool> {
        let mut build = self.cargo(&["test", "--package", "init", "--lib", "--no-run"]);
        Ok(build.status().context("compiling a mutant")?.success())
    }

    fn cargo(&self, args: &[&str]) -> Command {
        let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
        cargo
            .args(args)
            .arg("--quiet")
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "1")
            // Whether a case fails is asked, not which is the smallest.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        cargo
    }

    /// Whether the tests notice: they fail, or take for ever. A filter that fits no test counts as noticing
    /// nothing, and is an error when nothing is broken.
    fn test(&self, filter: &str) -> Result<Verdict> {
        let report = self.tree.join("tests.out");
        let out = fs::File::create(&report).context("writing what the tests say")?;
        let mut tests = self
            .cargo(&["test", "--package", "init", "--lib", filter])
            .stdout(out)
            .spawn()
            .context("starting cargo")?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = tests.try_wait().context("waiting for cargo")? {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                // A process that has ended meanwhile needs no kill.
                let _ = tests.kill();
                tests.wait().context("waiting for cargo")?;
                return Ok(Verdict::Caught);
            }
            thread::sleep(Duration::from_millis(50));
        };
        let said = fs::read_to_string(&report).context("reading what the tests say")?;
        ensure!(!said.contains("running 0 tests"), "tests {filter}: there are none");
        Ok(if status.success() { Verdict::Missed } else { Verdict::Caught })
    }
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
    fn nine_of_ten_caught_are_enough_and_one_that_does_not_compile_is_too_many() {
        let mut verdicts = vec![Verdict::Caught; 9];
        verdicts.push(Verdict::Missed);
        assert!(judge(&verdicts).is_ok());
        verdicts.push(Verdict::Missed);
        assert!(judge(&verdicts).is_err());
        assert!(judge(&[Verdict::Caught, Verdict::Unbuilt]).is_err());
    }

    #[test]
    fn every_mutant_of_the_list_fits_its_file() {
        run(&Args { only: None, dry: true }).unwrap();
    }
}
