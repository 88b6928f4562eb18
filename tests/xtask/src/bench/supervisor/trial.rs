//! Trials: each opens a room with one supervisor, does something to it, and yields figures.
//!
//! Times are the services' own stamps and the host's clock, which are the same clock. Storms are
//! `storm`'s; what the figures mean is `row`'s.

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::process::Process;
use super::rival::{Programs, Rival};
use super::room::Room;
use super::row::Row;
use super::set::{Part, Set};
use super::storm;

/// Figures of one trial.
pub type Figures = Vec<(Row, f64)>;

/// How long all services may take to start.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long all may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// What a supervisor has to come to rest before it is looked at.
const REST: Duration = Duration::from_millis(300);
/// How long an idle supervisor is watched, and after what: ours stops waiting for its log process after two seconds.
const IDLE: Duration = Duration::from_secs(3);
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// Services in the chain.
const CHAIN: u32 = 30;
/// Services that take turns in being killed, so often, so far apart: each has been up for more than a second,
/// below which s6 and runit pause, and nobody is above our 20 starts per second.
const KILLED: u32 = 20;
const KILLS: usize = 100;
const KILL_EVERY: Duration = Duration::from_millis(60);
/// The pause that is asked for, and how often.
const DELAY: Duration = Duration::from_millis(100);
const DELAYS: usize = 30;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Trial {
    /// Memory with ten services
    Memory,
    /// Starting many, memory, idling, stopping
    Start,
    /// A chain of 30 that say when they are ready
    Chain,
    /// Killing services: how soon are they back
    Restart,
    /// Restarts after a configured delay
    Delay,
    /// A hundred services that end at once
    Crash,
    /// Two thousand orphans per second
    Orphans,
    /// From a service's pipe to a file
    Log,
}

impl Trial {
    /// All that a supervisor by itself can do.
    pub const ALL: [Self; 8] = [
        Self::Memory,
        Self::Start,
        Self::Chain,
        Self::Restart,
        Self::Delay,
        Self::Crash,
        Self::Orphans,
        Self::Log,
    ];

    /// Tries it with `rival`; nothing where that cannot do such a thing.
    ///
    /// # Errors
    /// The room or the supervisor does not come up, or does not do what it must.
    pub fn run(self, rival: Rival, programs: &Programs, services: u32) -> Result<Figures> {
        match self {
            Self::Memory => memory(rival, programs),
            Self::Start => start(rival, programs, services),
            Self::Chain if rival.knows_needs() => chain(rival, programs),
            Self::Restart => restart(rival, programs),
            Self::Delay if rival.knows_delays() => delay(rival, programs),
            Self::Crash => storm::crash(rival, programs, services),
            Self::Orphans => storm::orphans(rival, programs),
            Self::Chain | Self::Delay | Self::Log => Ok(Vec::new()),
        }
    }
}

fn memory(rival: Rival, programs: &Programs) -> Result<Figures> {
    let set = Set::staying(10);
    let room = started(rival, &set, programs)?;
    thread::sleep(REST);
    Ok(vec![(Row::Memory10, pss(&room))])
}

fn start(rival: Rival, programs: &Programs, services: u32) -> Result<Figures> {
    let set = Set::staying(services);
    let mut room = started(rival, &set, programs)?;
    let began = room.began()?;
    // Those that started last are on their way into sleep.
    thread::sleep(Duration::from_millis(50));
    let cpu = room.cpu()?.saturating_sub(began.cpu);
    let stamps = room.stamps.read()?;
    let first = stamps.iter().map(|stamp| stamp.at).min().unwrap_or_default();
    let last = stamps.iter().map(|stamp| stamp.at).max().unwrap_or_default();
    thread::sleep(REST);
    let mut figures = vec![
        (Row::StartWall, millis(last.saturating_sub(began.at))),
        (Row::StartSpan, millis(last.saturating_sub(first))),
        (Row::StartCpu, cpu.as_secs_f64() * 1e3),
        (Row::Memory100, pss(&room)),
    ];
    thread::sleep(IDLE_AFTER);
    figures.push((Row::Idle, idle(&room)));
    figures.push((Row::Stop, stop(rival, &room, services)?));
    Ok(figures)
}

/// Wakeups per second.
fn idle(room: &Room) -> f64 {
    let supervisors = room.supervisors();
    let switches = || supervisors.iter().filter_map(|process| process.switches()).sum::<u64>();
    let before = switches();
    thread::sleep(IDLE);
    switches().saturating_sub(before) as f64 / IDLE.as_secs_f64()
}

/// Milliseconds from the order to the end of the last service.
fn stop(rival: Rival, room: &Room, services: u32) -> Result<f64> {
    let running: Vec<_> = room.processes().into_iter().filter(|process| process.is_service()).collect();
    if running.len() != services as usize {
        bail!("{} of {services} services run", running.len());
    }
    let watch = |process: &Process| -> Result<OwnedFd> {
        let pid = rustix::process::Pid::from_raw(process.0).context("a process without a number")?;
        Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
    };
    let mut open =
        running.iter().map(watch).collect::<Result<Vec<OwnedFd>>>().context("watching the services")?;
    let began = Instant::now();
    rival.stop(room)?;
    while !open.is_empty() {
        if began.elapsed() > STOP_WITHIN {
            bail!("{} services do not stop; the console says:\n{}", open.len(), room.console());
        }
        let mut polled: Vec<PollFd<'_>> =
            open.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut polled, PollTimeout::from(100_u8)).context("waiting for services to stop")?;
        let ended: Vec<bool> = polled.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let mut ended = ended.into_iter();
        open.retain(|_| !ended.next().unwrap_or(false));
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

fn chain(rival: Rival, programs: &Programs) -> Result<Figures> {
    let set = Set { count: CHAIN, part: Part::Ready, chained: true, delay: Duration::ZERO };
    let mut room = started(rival, &set, programs)?;
    let began = room.began()?;
    let order: Vec<u32> = room.stamps.read()?.iter().map(|stamp| stamp.number).collect();
    if !order.is_sorted() {
        bail!("services started before what they need: {order:?}");
    }
    let last = room.stamps.read()?.last().map_or(0, |stamp| stamp.at);
    Ok(vec![(Row::Chain, millis(last.saturating_sub(began.at)))])
}

fn restart(rival: Rival, programs: &Programs) -> Result<Figures> {
    let mut room = started(rival, &Set::staying(KILLED), programs)?;
    thread::sleep(Duration::from_millis(1500));
    let cpu = room.cpu()?;
    let mut found = killed(&mut room, KILLS, KILL_EVERY)?;
    let cpu = room.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e3 / found.len().max(1) as f64;
    found.sort_by(f64::total_cmp);
    Ok(vec![
        (Row::RestartP50, quantile(&found, 50)),
        (Row::RestartP99, quantile(&found, 99)),
        (Row::RestartCpu, cpu),
    ])
}

fn delay(rival: Rival, programs: &Programs) -> Result<Figures> {
    let set = Set { delay: DELAY, ..Set::staying(KILLED) };
    let mut room = started(rival, &set, programs)?;
    thread::sleep(Duration::from_millis(1500));
    let found = killed(&mut room, DELAYS, KILL_EVERY)?;
    let asked = rival.delays(&room, DELAY, found.len())?;
    let mut late: Vec<f64> = found.iter().zip(asked).map(|(took, asked)| took - asked).collect();
    late.sort_by(f64::total_cmp);
    if let Some(early) = late.first().filter(|late| **late < -1.0) {
        bail!("a restart came {early:.1} ms early");
    }
    Ok(vec![(Row::DelayLate, quantile(&late, 90))])
}

/// Kills so many processes, the services taking turns; milliseconds until each was back.
fn killed(room: &mut Room, times: usize, every: Duration) -> Result<Vec<f64>> {
    let mut found = Vec::new();
    let mut due = Instant::now();
    for turn in 0..times {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = Instant::now() + every;
        let number = u32::try_from(turn).unwrap_or(0) % KILLED;
        let before = room.stamps.read()?.len();
        let latest = room.stamps.read()?.iter().rev().find(|stamp| stamp.number == number);
        let inner = latest.with_context(|| format!("service {number} has not started"))?.pid;
        let process = room.service(inner).with_context(|| format!("service {number} does not run"))?;
        let killed_at = now()?;
        kill(Pid::from_raw(process.0), Signal::SIGKILL).context("killing a service")?;
        let deadline = Instant::now() + START_WITHIN;
        let back = loop {
            if let Some(stamp) = room.stamps.read()?.iter().skip(before).find(|stamp| stamp.number == number)
            {
                break stamp.at;
            }
            if Instant::now() > deadline {
                bail!("service {number} was not restarted; the console says:\n{}", room.console());
            }
            thread::sleep(Duration::from_micros(300));
        };
        found.push(millis(back.saturating_sub(killed_at)));
    }
    Ok(found)
}

/// A room in which every service of `set` has started once.
pub fn started(rival: Rival, set: &Set, programs: &Programs) -> Result<Room> {
    let mut room = rival.open(set, programs)?;
    room.await_stamps(set.count as usize, START_WITHIN).with_context(|| rival.name().to_owned())?;
    Ok(room)
}

/// Megabytes of the supervisor's own processes.
fn pss(room: &Room) -> f64 {
    let kib: u64 = room.supervisors().iter().filter_map(|process| process.pss()).sum();
    kib as f64 / 1024.0
}

/// The value that so many percent of `sorted` do not exceed.
pub fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

fn now() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("reading the clock")?;
    Ok(u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec()).unwrap_or_default())
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((quantile(&sorted, 50) - 50.0).abs() < 1e-9);
        assert!((quantile(&sorted, 99) - 99.0).abs() < 1e-9);
        assert!((quantile(&[3.0], 99) - 3.0).abs() < 1e-9);
        assert!(quantile(&[], 50).abs() < 1e-9);
    }
}
