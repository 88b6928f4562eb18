//! Our init: a table of services as the builder lays it out, and what an image says of itself.
//!
//! Services are privileged, since nobody else fences theirs; each still has its control group.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use machine_config::service::{ServiceSpec, layout};

use super::{Programs, Start};
use crate::bench::supervisor::set::{BY_NOTIFY, Part, Set};

const IMAGE: &str = "role = \"lb\"\nversion = \"0.0.0\"\nbuilt = \"2026-01-01T00:00:00Z\"\n";
const LABEL: &str = "role lb, version 0.0.0";

pub(super) fn furnish(files: &Path, set: &Set, programs: &Programs) -> Result<Start> {
    let specs: Vec<ServiceSpec> = set
        .numbers()
        .map(|number| toml::from_str(&spec(set, number)))
        .collect::<Result<_, _>>()
        .context("writing the specs of our services")?;
    let table =
        layout(&specs).context("laying out our services")?.encode().context("laying out our services")?;
    let write = || -> std::io::Result<()> {
        let share = files.join("usr/share/slipway");
        fs::create_dir_all(&share)?;
        fs::write(share.join("services.table"), table)?;
        fs::write(share.join("image.toml"), IMAGE)?;
        fs::write(share.join("label"), LABEL)?;
        fs::create_dir_all(files.join("usr/bin"))?;
        fs::copy(&programs.init, files.join("usr/bin/init")).map(drop)
    };
    write().with_context(|| format!("furnishing {}", files.display()))?;
    Ok(Start { usr: None, command: vec!["/usr/bin/init".to_owned()], environment: Vec::new() })
}

fn spec(set: &Set, number: u32) -> String {
    let words = set.words(number, BY_NOTIFY);
    let exec: Vec<&str> = ["/bench/stamp"].into_iter().chain(words.split(' ')).collect();
    let ready = if set.part == Part::Ready { "notify" } else { "exec" };
    let requires = set.need(number).map(|need| format!("requires = [\"s{need}\"]\n")).unwrap_or_default();
    let pause = set.delay.as_millis();
    format!(
        "name = \"s{number}\"\ndescription = \"measured\"\nexec = {exec:?}\n{requires}ready = {{ by = \"{ready}\" }}\n\
         restart = {{ pause = \"{pause}ms\", longest-pause = \"{pause}ms\" }}\nsandbox = {{ privileged = true }}\n"
    )
}

/// The pauses that the console tells of, in milliseconds: `…, again in 92 ms`.
pub(super) fn pauses(console: &str, count: usize) -> Result<Vec<f64>> {
    let pause = |line: &str| line.rsplit_once(", again in ")?.1.strip_suffix(" ms")?.parse().ok();
    let mut found: Vec<f64> = console.lines().filter_map(pause).collect();
    ensure!(found.len() >= count, "the console tells of {} pauses, not of {count}", found.len());
    Ok(found.split_off(found.len() - count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_that_were_announced_last() {
        let console = "slipway[1.0] service s1: killed by signal 9 after 1.5 s, again in 92 ms\n\
                       slipway[1.1] service s1: ready after 0 s\n\
                       slipway[1.2] service s2: killed by signal 9 after 1.6 s, again in 101 ms\n";
        assert_eq!(pauses(console, 1).unwrap(), [101.0]);
        assert_eq!(pauses(console, 2).unwrap(), [92.0, 101.0]);
        assert!(pauses(console, 3).is_err());
    }
}
