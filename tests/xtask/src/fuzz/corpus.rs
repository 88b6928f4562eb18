//! Which inputs are kept in the checkout: few small ones that reach what the seeds do not.
//!
//! libFuzzer's merge finds them. Only edges count, not how often they are reached: so there are tens and
//! not thousands, and a fresh checkout begins where others ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::Place;

/// The most inputs of a target: all of them together are less than 300.
const FILES_MAX: usize = 22;
/// The most bytes of a target's inputs: all of them together are less than 300 KB.
const BYTES_MAX: u64 = 22_000;

/// Chooses anew what is kept of a target's inputs.
pub(super) fn keep(program: &Path, place: &Place) -> Result<()> {
    let merged = place.seeds.with_extension("merged");
    if merged.exists() {
        fs::remove_dir_all(&merged).with_context(|| format!("removing {}", merged.display()))?;
    }
    // What the seeds reach needs no keeping.
    fs::create_dir_all(&merged).with_context(|| format!("making {}", merged.display()))?;
    for seed in list(&place.seeds)? {
        let name = seed.path.file_name().unwrap_or_default();
        fs::copy(&seed.path, merged.join(name))
            .with_context(|| format!("copying {}", seed.path.display()))?;
    }
    let mut merge = place.command(program);
    merge.args(["-merge=1", "-use_counters=0", super::TIMEOUT, super::LENGTH]);
    merge.args([&merged, &place.kept, &place.found]).stdout(Stdio::null()).stderr(Stdio::null());
    let status = merge.status().context("starting the fuzzer")?;
    ensure!(status.success(), "merging the inputs of {} ended with {status}", place.name);
    let mut new = list(&merged)?;
    new.retain(|input| !place.seeds.join(input.path.file_name().unwrap_or_default()).exists());
    let new = few(new);
    fs::remove_dir_all(&place.kept).with_context(|| format!("removing {}", place.kept.display()))?;
    fs::create_dir_all(&place.kept).with_context(|| format!("making {}", place.kept.display()))?;
    for input in new {
        let name = input.path.file_name().unwrap_or_default();
        fs::copy(&input.path, place.kept.join(name))
            .with_context(|| format!("copying {}", input.path.display()))?;
    }
    Ok(())
}

struct Input {
    path: PathBuf,
    bytes: u64,
}

/// Of every size some, as many as there is room for: the small ones alone reach little.
fn few(mut inputs: Vec<Input>) -> Vec<Input> {
    inputs.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    let step = inputs.len().div_ceil(FILES_MAX).max(1);
    let mut left = BYTES_MAX;
    let mut fits = |input: &Input| {
        let rest = left.checked_sub(input.bytes);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    inputs.into_iter().step_by(step).filter(|input| fits(input)).collect()
}

fn list(directory: &Path) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let entry = entry.with_context(|| format!("listing {}", directory.display()))?;
        let bytes = entry.metadata().with_context(|| format!("reading {}", entry.path().display()))?.len();
        inputs.push(Input { path: entry.path(), bytes });
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, bytes: u64) -> Input {
        Input { path: name.into(), bytes }
    }

    #[test]
    fn few_inputs_of_every_size_are_kept() {
        let many = (0..110).map(|n| input(&n.to_string(), n)).collect();
        let sizes: Vec<u64> = few(many).iter().map(|input| input.bytes).collect();
        assert_eq!(sizes, (0..110).step_by(110 / FILES_MAX).collect::<Vec<u64>>());
        let large = vec![input("a", BYTES_MAX), input("b", 1), input("c", 2)];
        let names: Vec<_> = few(large).into_iter().map(|input| input.path).collect();
        assert_eq!(names, [Path::new("b"), Path::new("c")]);
    }
}
