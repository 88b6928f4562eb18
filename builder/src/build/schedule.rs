//! Which components are built when, and how many at once.
//!
//! Components do not depend on each other, so the order is only about time: the longest first. Two
//! builds at once fill the gaps in which one of them has a single process; a third would only cost
//! memory, of which a Kubernetes link takes 3 GB.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::{Context as _, Result};

use super::output::Built;
use super::{Workshop, component};
use crate::profile::{Component, ComponentName, Source};

/// Memory that one build may take, in KiB.
const MEMORY_PER_BUILD: u64 = 4 * 1024 * 1024;

/// More at once gains nothing.
const AT_ONCE: usize = 2;

pub(super) fn run(
    workshop: &Arc<Workshop>,
    names: &BTreeSet<ComponentName>,
) -> Result<BTreeMap<ComponentName, Built>> {
    let queue = Arc::new(Mutex::new(order(workshop, names)?));
    let (results, arriving) = mpsc::channel();
    for _ in 0..at_once(available_memory()).min(names.len()) {
        let (queue, results, workshop) = (Arc::clone(&queue), results.clone(), Arc::clone(workshop));
        // Not scoped: after a failure the command ends and takes the running builds along.
        std::thread::Builder::new()
            .name("build".to_owned())
            .spawn(move || {
                while let Some(name) = next(&queue) {
                    let Some(component) = workshop.profiles.components.get(&name) else { return };
                    let built = component::build(&workshop, component);
                    if results.send((name, built)).is_err() {
                        return;
                    }
                }
            })
            .context("starting a thread for builds")?;
    }
    drop(results);
    let mut all = BTreeMap::new();
    for (name, built) in arriving {
        match built {
            Ok(built) => all.insert(name, built),
            Err(error) => {
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return Err(error);
            }
        };
    }
    if let Some(lost) = names.iter().find(|name| !all.contains_key(*name)) {
        anyhow::bail!("the build of {lost} ended without a result");
    }
    Ok(all)
}

fn next(queue: &Mutex<VecDeque<ComponentName>>) -> Option<ComponentName> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// The longest first; what takes no time comes last.
fn order(workshop: &Workshop, names: &BTreeSet<ComponentName>) -> Result<VecDeque<ComponentName>> {
    let mut components = Vec::new();
    for name in names {
        let known = workshop.profiles.components.get(name);
        components
            .push(known.with_context(|| format!("there is no component {name} in profiles/components"))?);
    }
    components.sort_by_key(|component| (rank(component), component.name.clone()));
    Ok(components.into_iter().map(|component| component.name.clone()).collect())
}

fn rank(component: &Component) -> u8 {
    match &component.source {
        Source::Kernel(_) => 0,
        Source::Go(_) => 1,
        Source::Cargo(_) => 2,
        Source::Deb(_) => 3,
        Source::Files(_) | Source::Image(_) => 4,
    }
}

/// How many builds fit into so much memory (KiB); one always has to.
fn at_once(available: Option<u64>) -> usize {
    let fit = available.unwrap_or(0) / MEMORY_PER_BUILD;
    usize::try_from(fit).unwrap_or(AT_ONCE).clamp(1, AT_ONCE)
}

fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_decides_how_many_builds_run_at_once() {
        assert_eq!(at_once(None), 1);
        assert_eq!(at_once(Some(3 * 1024 * 1024)), 1);
        assert_eq!(at_once(Some(9 * 1024 * 1024)), 2);
        assert_eq!(at_once(Some(64 * 1024 * 1024)), 2);
    }

    #[test]
    fn this_host_says_how_much_memory_it_has() {
        assert!(available_memory().is_some_and(|kib| kib > 0));
    }
}
