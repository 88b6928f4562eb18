//! A reader's way through one service's blocks: disk first, then memory, each block once.
//!
//! A walk holds no more than the segment it is in. When it was too slow for the memory ring it goes on
//! from the disk, and what is not there either is counted by the gap in the numbers: so the
//! rings themselves are every reader's queue, and no reader ever slows intake.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::block::Header;
use super::board::Service;
use super::record::BootId;
use super::segment::{self, Next, Reader};

/// Where a service's lines may be.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its directory on disk.
    pub disk: PathBuf,
    /// What it writes now; nothing of a service that only earlier boots had.
    pub service: Option<Arc<Service>>,
}

/// Which segments are of interest.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Of these boots; of all without it.
    pub boots: Option<Vec<BootId>>,
    /// Not those that were last written before, in microseconds since 1970.
    pub since: Option<u64>,
}

#[derive(Debug, Clone)]
struct Entry {
    path: PathBuf,
    boot: BootId,
    /// Its number, if it is in memory.
    memory: Option<u64>,
}

/// The block that a walk is at.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Its header.
    pub header: Header,
    /// Its boot.
    pub boot: BootId,
    /// Lines before it that are gone.
    pub missed: u64,
}

/// The way.
#[derive(Debug)]
pub struct Walk {
    place: Place,
    ahead: VecDeque<Entry>,
    reader: Option<Reader>,
    /// The latest memory segment that was entered, or is ahead.
    memory: Option<u64>,
    /// The boot and the number that come next.
    next: Option<(BootId, u64)>,
    /// Whether new segments are of interest.
    open_ended: bool,
    found: Option<Found>,
}

impl Walk {
    /// A walk from the oldest segment in scope.
    ///
    /// # Errors
    /// Those of reading directories and files.
    pub fn new(place: Place, scope: &Scope, current: BootId) -> io::Result<Self> {
        let mut walk = Self::through(place, VecDeque::new());
        walk.open_ended = scope.boots.as_ref().is_none_or(|boots| boots.contains(&current));
        walk.look(scope)?;
        Ok(walk)
    }

    /// A walk through the lines that were set apart when the service failed.
    ///
    /// # Errors
    /// Those of reading files; `NotFound` if there are none.
    pub fn of_failure(place: Place, name: &str) -> io::Result<Self> {
        let memory = place.service.as_ref().map(|service| service.memory.join(name));
        let path = memory.filter(|path| path.exists()).unwrap_or_else(|| place.disk.join(name));
        fs::metadata(&path)?;
        let ahead = entry(path, None)?.into_iter().collect();
        Ok(Self::through(place, ahead))
    }

    fn through(place: Place, ahead: VecDeque<Entry>) -> Self {
        Self { place, ahead, reader: None, memory: None, next: None, open_ended: false, found: None }
    }

    /// Whose lines they are.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// The same walk from the same beginning, as long as neither has begun.
    #[must_use]
    pub fn again(&self) -> Self {
        let mut walk = Self::through(self.place.clone(), self.ahead.clone());
        (walk.memory, walk.open_ended) = (self.memory, self.open_ended);
        walk
    }

    /// Leaves out segments at the beginning as long as those behind have `enough` of what `count` counts.
    ///
    /// # Errors
    /// Those of reading files.
    pub fn keep_last(&mut self, enough: usize, count: impl Fn(&Found, &[u8]) -> usize) -> io::Result<()> {
        let (mut counted, mut keep, mut floor) = (0, 0, None);
        for entry in self.ahead.iter().rev() {
            if counted >= enough {
                break;
            }
            keep += 1;
            let Some(mut reader) = entry.open(&self.place)? else { continue };
            let (mut first, mut blocks) = (None, 0);
            while let Next::Block(header) = reader.next()? {
                first = first.or(Some(header.first));
                // What is on disk and in memory, too, counts once.
                if floor.is_none_or(|(boot, floor)| boot != entry.boot || header.first < floor) {
                    blocks += count(&Found { header, boot: entry.boot, missed: 0 }, reader.text());
                }
            }
            counted += blocks;
            if let (Some(first), Some(_)) = (first, entry.memory) {
                floor = Some((entry.boot, first));
            }
        }
        self.ahead.drain(..self.ahead.len() - keep);
        Ok(())
    }

    /// The block it is at, found without going on.
    ///
    /// # Errors
    /// Those of reading files.
    pub fn peek(&mut self) -> io::Result<Option<Found>> {
        if self.found.is_none() {
            self.found = self.advance()?;
        }
        Ok(self.found)
    }

    /// The text of the block that it is at.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.reader.as_ref().map(Reader::text).unwrap_or_default()
    }

    /// Goes on.
    pub fn pass(&mut self) {
        self.found = None;
    }

    fn advance(&mut self) -> io::Result<Option<Found>> {
        loop {
            let Some(reader) = &mut self.reader else {
                match self.ahead.pop_front() {
                    // What is gone by now shows as a gap.
                    Some(entry) => self.reader = entry.open(&self.place)?,
                    None if self.look_for_more()? => {}
                    None => return Ok(None),
                }
                continue;
            };
            // Asked before reading on: nothing is added to a segment that has a successor, nor to one on disk of a
            // service that has said nothing in this boot.
            let sealed = !self.ahead.is_empty()
                || self.memory.is_none_or(|memory| {
                    self.place.service.as_ref().is_some_and(|service| service.head().0 > memory)
                });
            match reader.next()? {
                Next::End if sealed => {
                    if let Some(service) = &self.place.service {
                        service.spoiled.fetch_add(reader.spoiled(), std::sync::atomic::Ordering::Relaxed);
                    }
                    self.reader = None;
                }
                Next::End => return Ok(None),
                Next::Block(header) => {
                    let boot = reader.boot();
                    let due = self.next.filter(|(known, _)| *known == boot).map(|(_, number)| number);
                    if due.is_some_and(|due| header.first < due) {
                        continue;
                    }
                    let foreign = self.place.name == super::KERNEL;
                    let missed = due.filter(|_| !foreign).map_or(0, |due| header.first - due);
                    self.next = Some((boot, header.next()));
                    return Ok(Some(Found { header, boot, missed }));
                }
            }
        }
    }

    /// Whether there are segments that were not there before.
    fn look_for_more(&mut self) -> io::Result<bool> {
        let Some(service) = self.place.service.clone().filter(|_| self.open_ended) else { return Ok(false) };
        let (newest, length) = service.head();
        let from = self.memory.map_or(0, |memory| memory + 1);
        if length == 0 || newest < from {
            return Ok(false);
        }
        let next = segment::path(&service.memory, from);
        if self.memory.is_some() && next.exists() {
            self.memory = Some(from);
            self.ahead.extend(entry(next, Some(from))?);
        } else {
            // The ring has gone round: the disk may have what it has let go.
            self.look(&Scope::default())?;
            self.leave_out_known()?;
            // Segments that went missing are no reason to go through the others again and again.
            if !self.ahead.iter().any(|entry| entry.memory >= Some(from)) {
                self.ahead.clear();
            }
        }
        Ok(!self.ahead.is_empty())
    }

    /// Lists what there is.
    fn look(&mut self, scope: &Scope) -> io::Result<()> {
        let mut found = VecDeque::new();
        for number in segment::list(&self.place.disk)? {
            found.extend(entry_in(segment::path(&self.place.disk, number), None, scope)?);
        }
        if let Some(service) = &self.place.service {
            for number in segment::list(&service.memory)? {
                found.extend(entry_in(segment::path(&service.memory, number), Some(number), scope)?);
                self.memory = self.memory.max(Some(number));
            }
        }
        self.ahead = found;
        Ok(())
    }

    /// Leaves out segments before the one that has the next line. Only the boot of those in memory goes on.
    fn leave_out_known(&mut self) -> io::Result<()> {
        let current = self.ahead.iter().rev().find(|entry| entry.memory.is_some()).map(|entry| entry.boot);
        self.ahead.retain(|entry| Some(entry.boot) == current);
        let Some((_, next)) = self.next.filter(|(boot, _)| Some(*boot) == current) else { return Ok(()) };
        let mut keep = self.ahead.len();
        for (n, entry) in self.ahead.iter().enumerate() {
            if entry.memory.is_some() {
                keep = keep.min(n);
                break;
            }
            if let Some(mut reader) = open(&entry.path)?
                && let Next::Block(header) = reader.next()?
                && header.first <= next
            {
                keep = n;
            } else {
                keep = keep.min(n);
                break;
            }
        }
        self.ahead.drain(..keep.min(self.ahead.len()));
        Ok(())
    }
}

impl Entry {
    fn open(&self, place: &Place) -> io::Result<Option<Reader>> {
        match (self.memory, &place.service) {
            (Some(number), Some(service)) => match Reader::open_leased(service, number) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => opened,
            },
            _ => open(&self.path),
        }
    }
}

/// Opens a segment; nothing if it is gone or none.
fn open(path: &Path) -> io::Result<Option<Reader>> {
    match Reader::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened,
    }
}

fn entry(path: PathBuf, memory: Option<u64>) -> io::Result<Option<Entry>> {
    Ok(open(&path)?.map(|reader| Entry { path, boot: reader.boot(), memory }))
}

fn entry_in(path: PathBuf, memory: Option<u64>, scope: &Scope) -> io::Result<Option<Entry>> {
    if let Some(since) = scope.since
        && let Ok(written) = fs::metadata(&path).and_then(|found| found.modified())
        && written < UNIX_EPOCH + Duration::from_micros(since)
    {
        return Ok(None);
    }
    let entry = entry(path, memory)?;
    Ok(entry.filter(|entry| scope.boots.as_ref().is_none_or(|boots| boots.contains(&entry.boot))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logd::disk::Disk;
    use crate::logd::ring::Ring;

    const BOOT: BootId = BootId([6; 16]);

    /// A service whose ring is written by hand.
    struct Bench {
        dir: tempfile::TempDir,
        ring: Ring,
        service: Arc<Service>,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let memory = dir.path().join("memory");
            let ring = Ring::open(&memory, BOOT).unwrap();
            let service = Arc::new(Service::new("etcd".to_owned(), memory, 0));
            Self { dir, ring, service }
        }

        fn say(&mut self, text: &str) -> Vec<u8> {
            let text = format!("{text}\n");
            let header = self.ring.append(Header { lines: 1, ..Header::default() }, text.as_bytes()).unwrap();
            self.service.set_oldest(self.ring.oldest());
            self.service.set_head(self.ring.head());
            [&header.encode()[..], text.as_bytes()].concat()
        }

        fn walk(&self) -> Walk {
            let place = Place {
                name: "etcd".to_owned(),
                disk: self.dir.path().join("disk"),
                service: Some(Arc::clone(&self.service)),
            };
            Walk::new(place, &Scope::default(), BOOT).unwrap()
        }
    }

    fn rest(walk: &mut Walk) -> (Vec<u64>, u64) {
        let (mut numbers, mut missed) = (Vec::new(), 0);
        while let Some(found) = walk.peek().unwrap() {
            numbers.extend(found.header.first..found.header.next());
            missed += found.missed;
            walk.pass();
        }
        (numbers, missed)
    }

    #[test]
    fn what_is_on_disk_and_in_memory_is_seen_once() {
        let mut bench = Bench::new();
        let (mut disk, _) = Disk::open(&bench.dir.path().join("disk"), 1 << 20, BOOT).unwrap();
        for n in 0..5 {
            let block = bench.say(&n.to_string());
            if n < 3 {
                disk.append(&block).unwrap();
            }
        }
        assert_eq!(rest(&mut bench.walk()), ((0..5).collect(), 0));
    }

    #[test]
    fn who_follows_sees_every_line_also_over_a_new_segment() {
        let mut bench = Bench::new();
        let mut walk = bench.walk();
        let long = "x".repeat(50_000);
        for n in 0..20 {
            bench.say(&long);
            assert_eq!(rest(&mut walk), (vec![n], 0));
        }
    }

    #[test]
    fn who_follows_from_an_earlier_boot_on_sees_the_first_line_of_this_one_and_nothing_twice() {
        let mut bench = Bench::new();
        let directory = bench.dir.path().join("disk");
        let old = Header { lines: 1, ..Header::default() }.over(b"old\n");
        let (mut disk, _) = Disk::open(&directory, 1 << 20, BootId([5; 16])).unwrap();
        disk.append(&[&old.encode()[..], b"old\n"].concat()).unwrap();
        let mut walk = bench.walk();
        let scope = Scope { boots: Some(vec![BOOT]), since: None };
        let mut new = Walk::new(walk.place.clone(), &scope, BOOT).unwrap();
        assert_eq!((rest(&mut walk), rest(&mut new)), ((vec![0], 0), (vec![], 0)));
        // So much that memory has not all of it.
        let (mut disk, _) = Disk::open(&directory, 4 << 20, BOOT).unwrap();
        for _ in 0..30 {
            let block = bench.say(&"x".repeat(50_000));
            disk.append(&block).unwrap();
        }
        assert_eq!(rest(&mut walk), ((0..30).collect(), 0));
        assert_eq!(rest(&mut new), ((0..30).collect(), 0));
    }

    #[test]
    fn who_is_too_slow_goes_on_from_disk_and_is_told_what_is_nowhere() {
        let mut bench = Bench::new();
        let (mut disk, _) = Disk::open(&bench.dir.path().join("disk"), 1 << 20, BOOT).unwrap();
        let mut walk = bench.walk();
        let long = "x".repeat(50_000);
        bench.say(&long);
        assert_eq!(rest(&mut walk), (vec![0], 0));
        for n in 1..40 {
            let block = bench.say(&long);
            if (10..20).contains(&n) {
                disk.append(&block).unwrap();
            }
        }
        let (numbers, missed) = rest(&mut walk);
        assert_eq!(numbers.first(), Some(&10), "the segment it was in has become another");
        assert_eq!(numbers.last(), Some(&39));
        assert!((10..20).all(|n| numbers.contains(&n)));
        assert_eq!(numbers.len() as u64 + missed, 39);
    }

    #[test]
    fn a_walk_ends_although_a_segment_that_should_be_there_went_missing() {
        let mut bench = Bench::new();
        let long = "x".repeat(60_000);
        for _ in 0..6 {
            bench.say(&long);
        }
        let (newest, _) = bench.service.head();
        for number in 1..=newest {
            fs::remove_file(segment::path(&bench.service.memory, number)).unwrap();
        }
        assert_eq!(rest(&mut bench.walk()).0.first(), Some(&0));
        // Nor with what is there being no segment at all.
        fs::write(segment::path(&bench.service.memory, 0), crate::logd::block::prefix(BOOT, 0)).unwrap();
        assert_eq!(rest(&mut bench.walk()), (vec![], 0));
    }

    #[test]
    fn the_last_segments_are_found_from_behind() {
        let mut bench = Bench::new();
        for n in 0..6 {
            bench.say(&format!("{n}{}", "x".repeat(60_000)));
        }
        let mut walk = bench.walk();
        walk.keep_last(3, |found, _| found.header.lines as usize).unwrap();
        assert_eq!(rest(&mut walk.again()).0, [2, 3, 4, 5]);
        assert_eq!(rest(&mut walk).0, [2, 3, 4, 5]);
    }
}
