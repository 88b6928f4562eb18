//! Storms: services that end at once, and orphans by the thousand.
//!
//! Each supervisor restarts as fast as its policy lets it (ours: 20 starts per second once the burst of 100
//! is spent; runit and s6: one per second and service): what counts is how much of the machine is left to others.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::process::{self, Process};
use super::rival::{Programs, Rival};
use super::room::Room;
use super::row::Row;
use super::set::{Part, Set};
use super::trial::{Figures, started};

/// How long a storm is watched, after it has had a moment to begin.
const STORM: Duration = Duration::from_secs(6);
const BEGINNING: Duration = Duration::from_secs(2);
/// The pause between restarts, where it can be configured.
const PAUSE: Duration = Duration::from_millis(100);
/// Orphans per second, and how many come at once (tests/stamp).
const ORPHANS: u32 = 2000;
const BROOD: usize = 50;
/// What stamps a brood.
const BROOD_NUMBER: u32 = u32::MAX;
/// Between two looks for zombies.
const LOOK: Duration = Duration::from_millis(1);

pub(super) fn crash(rival: Rival, programs: &Programs, services: u32) -> Result<Figures> {
    let set = Set { count: services, part: Part::Exit, chained: false, delay: PAUSE };
    let mut room = started(rival, &set, programs)?;
    thread::sleep(BEGINNING);
    let supervisors = room.supervisors();
    let crashes = room.stamps.read()?.len();
    let before = cpu(&supervisors);
    let began = Instant::now();
    thread::sleep(STORM);
    let crashes = room.stamps.read()?.len() - crashes;
    let cpu = cpu(&supervisors).saturating_sub(before);
    let rate = crashes as f64 / began.elapsed().as_secs_f64();
    Ok(vec![
        (Row::StormRate, rate),
        (Row::StormShare, cpu.as_secs_f64() * 100.0 / began.elapsed().as_secs_f64()),
        (Row::StormCost, cpu.as_secs_f64() * 1e6 / crashes.max(1) as f64),
    ])
}

pub(super) fn orphans(rival: Rival, programs: &Programs) -> Result<Figures> {
    let set = Set { count: 1, part: Part::Orphans(ORPHANS), chained: false, delay: Duration::ZERO };
    let mut room = started(rival, &set, programs)?;
    thread::sleep(Duration::from_millis(500));
    let first = [Process(room.first)];
    let before = cpu(&first);
    let broods = broods(&mut room)?;
    let oldest = oldest_zombie(room.first, Instant::now() + STORM);
    let cpu = cpu(&first).saturating_sub(before);
    let orphans = (self::broods(&mut room)? - broods) * BROOD;
    if orphans < 1000 {
        anyhow::bail!("only {orphans} orphans in {STORM:?}; the console says:\n{}", room.console());
    }
    Ok(vec![
        (Row::OldestZombie, oldest.as_secs_f64() * 1e3),
        (Row::OrphanCost, cpu.as_secs_f64() * 1e6 / orphans as f64),
    ])
}

fn broods(room: &mut Room) -> Result<usize> {
    let stamps = room.stamps.read().context("counting orphans")?;
    Ok(stamps.iter().filter(|stamp| stamp.number == BROOD_NUMBER).count())
}

/// For how long the zombie that waited longest was seen, among those of `first`.
fn oldest_zombie(first: i32, until: Instant) -> Duration {
    let mut seen: BTreeMap<i32, Instant> = BTreeMap::new();
    let mut oldest = Duration::ZERO;
    while Instant::now() < until {
        let now = Instant::now();
        let zombies = process::all().into_iter().filter(|process| process.zombie_of() == Some(first));
        let mut still = BTreeMap::new();
        for zombie in zombies {
            let since = seen.get(&zombie.0).copied().unwrap_or(now);
            oldest = oldest.max(now.duration_since(since));
            still.insert(zombie.0, since);
        }
        seen = still;
        thread::sleep(LOOK);
    }
    oldest
}

fn cpu(processes: &[Process]) -> Duration {
    processes.iter().filter_map(|process| process.cpu()).sum()
}
