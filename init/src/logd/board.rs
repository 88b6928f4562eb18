//! What logd's threads share: a service's counters and head, and bells to wake each other.
//!
//! Intake writes, keeper and readers look. Nobody holds a lock while doing anything else, so a
//! thread that a dead disk or a slow reader has stopped never stops intake.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::query::Counters;
use super::record::BootId;

/// Bits of a packed head that are the length; a segment is far shorter.
const LENGTH_BITS: u32 = 24;
/// How long intake waits, once, for a disk that had kept up so far: half of what a service's
/// write may take (supervisors.md 5.9, 18).
const PATIENCE: Duration = Duration::from_millis(5);

/// Everything that is shared.
#[derive(Debug)]
pub struct Board {
    /// The kernel's id of this boot.
    pub boot: BootId,
    /// All services that have a pipe, and the kernel.
    pub services: Vec<Arc<Service>>,
    /// Where lines are kept on disk; a directory per service.
    pub disk: PathBuf,
    /// Rung when there are new lines: readers that follow.
    pub news: Bell,
    /// Rung when there is much to copy: the keeper.
    pub work: Bell,
    /// Rung when something was copied: intake, if it waits.
    copied: Bell,
    /// Whether the disk is there and keeps up.
    keeps_up: AtomicBool,
    /// Whether all is to be copied now, for the last time.
    pub ending: AtomicBool,
    /// Readers that are being served.
    pub readers: AtomicUsize,
    /// Lines that readers were too slow for.
    pub missed: AtomicU64,
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where its latest lines are.
    pub memory: PathBuf,
    /// What it may take on disk, in bytes.
    pub disk_bytes: u64,
    /// Whether its lines' numbers are the kernel's, so that gaps are not of our making.
    pub foreign_numbers: bool,
    head: AtomicU64,
    /// All segments before this one are gone, or have become others.
    oldest: AtomicU64,
    /// All segments before this one may go.
    needed: AtomicU64,
    /// How often its last lines were set apart.
    pub failures: AtomicU64,
    /// The next line's number.
    pub lines: AtomicU64,
    /// Bytes kept since boot.
    pub bytes: AtomicU64,
    /// Lines above the limit.
    pub limited: AtomicU64,
    /// Lines for which memory had no room.
    pub memory_lost: AtomicU64,
    /// Lines that went from memory before the disk had them.
    pub disk_lost: AtomicU64,
    /// Lines that the kernel wrote over before they were read.
    pub kernel_lost: AtomicU64,
    /// Spoiled places found on disk.
    pub spoiled: AtomicU64,
}

impl Service {
    /// A service of which nothing is known yet.
    #[must_use]
    pub fn new(name: String, memory: PathBuf, disk_bytes: u64) -> Self {
        Self {
            foreign_numbers: name == super::KERNEL,
            name,
            memory,
            disk_bytes,
            head: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            // What never goes to disk is needed by nobody.
            needed: AtomicU64::new(if disk_bytes == 0 { u64::MAX } else { 0 }),
            failures: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            memory_lost: AtomicU64::new(0),
            disk_lost: AtomicU64::new(0),
            kernel_lost: AtomicU64::new(0),
            spoiled: AtomicU64::new(0),
        }
    }

    /// Publishes how far its lines go.
    pub fn set_head(&self, (segment, length): (u64, u64)) {
        self.head.store(segment << LENGTH_BITS | length, SeqCst);
    }

    /// Publishes which segments are gone: before anything is written to their files.
    pub fn set_oldest(&self, segment: u64) {
        self.oldest.store(segment, SeqCst);
    }

    /// The first segment that is still there.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest.load(SeqCst)
    }

    /// The segment that is written, and how much of it is whole.
    #[must_use]
    pub fn head(&self) -> (u64, u64) {
        let head = self.head.load(SeqCst);
        (head >> LENGTH_BITS, head & ((1 << LENGTH_BITS) - 1))
    }

    /// All segments before this one are on disk; none of a service that keeps nothing there.
    #[must_use]
    pub fn needed(&self) -> u64 {
        if self.disk_bytes == 0 { 0 } else { self.needed.load(SeqCst) }
    }

    /// Its counters for a reader.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            service: self.name.clone(),
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            dropped_limit: self.limited.load(Relaxed),
            dropped_memory: self.memory_lost.load(Relaxed),
            dropped_disk: self.disk_lost.load(Relaxed),
            dropped_kernel: self.kernel_lost.load(Relaxed),
            spoiled: self.spoiled.load(Relaxed),
        }
    }
}

impl Board {
    /// A board for `services`, with the disk not there yet.
    #[must_use]
    pub fn new(boot: BootId, disk: PathBuf, services: Vec<Arc<Service>>) -> Self {
        Self {
            boot,
            services,
            disk,
            news: Bell::default(),
            work: Bell::default(),
            copied: Bell::default(),
            keeps_up: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            readers: AtomicUsize::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// From intake: `segment` is to go. Waits a moment for the keeper if it needs it and has kept up so far.
    pub fn before_dropping(&self, service: &Service, segment: u64) {
        let needed = || service.needed.load(SeqCst) <= segment;
        if !self.keeps_up.load(Relaxed) || !needed() {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.copied.count();
            self.work.ring();
            let left = deadline.saturating_duration_since(Instant::now());
            if !needed() {
                return;
            }
            if left.is_zero() {
                // From now on it is on its own until it has caught up: a dead disk costs one wait in all.
                self.keeps_up.store(false, Relaxed);
                return;
            }
            self.copied.wait(seen, left);
        }
    }

    /// From the keeper: segments of `service` before `segment` may go.
    pub fn needs_from(&self, service: &Service, segment: u64) {
        service.needed.store(segment, SeqCst);
        self.copied.ring();
    }

    /// From the keeper: whether everything there was is on disk.
    pub fn set_keeping_up(&self, is_so: bool) {
        self.keeps_up.store(is_so, Relaxed);
    }
}

/// Wakes whoever waits; costs nothing when nobody does.
#[derive(Debug, Default)]
pub struct Bell {
    rung: AtomicU64,
    waiting: AtomicUsize,
    lock: Mutex<()>,
    heard: Condvar,
}

impl Bell {
    /// How often it has rung: to be asked before looking at what it is rung for.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.rung.load(SeqCst)
    }

    /// Rings.
    pub fn ring(&self) {
        self.rung.fetch_add(1, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.heard.notify_all();
        }
    }

    /// Waits until it has rung more often than `seen`, at most `time`.
    pub fn wait(&self, seen: u64, time: Duration) {
        self.waiting.fetch_add(1, SeqCst);
        let held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it rang or time is over, the caller looks for itself.
        drop(self.heard.wait_timeout_while(held, time, |()| self.count() == seen));
        self.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let service = Arc::new(Service::new("etcd".to_owned(), "/nonexistent".into(), 1 << 20));
        Board::new(BootId::default(), "/nonexistent".into(), vec![service])
    }

    #[test]
    fn a_head_is_read_as_it_was_set() {
        let board = board();
        board.services[0].set_head((12, 131_072));
        assert_eq!(board.services[0].head(), (12, 131_072));
    }

    #[test]
    fn a_disk_that_hangs_costs_one_wait_and_not_one_per_segment() {
        let board = board();
        board.set_keeping_up(true);
        let began = Instant::now();
        for segment in 0..1000 {
            board.before_dropping(&board.services[0], segment);
        }
        let took = began.elapsed();
        assert!(took >= PATIENCE && took < PATIENCE * 20, "{took:?}");
    }

    #[test]
    fn a_bell_that_rang_before_the_wait_is_heard() {
        let bell = Bell::default();
        let seen = bell.count();
        bell.ring();
        let began = Instant::now();
        bell.wait(seen, Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_waiting_thread_is_woken() {
        let bell = Arc::new(Bell::default());
        let seen = bell.count();
        let waiting = Arc::clone(&bell);
        let thread = std::thread::spawn(move || waiting.wait(seen, Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        bell.ring();
        thread.join().unwrap();
    }
}
