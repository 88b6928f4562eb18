//! From a question to its answers: which blocks, in which order, which of their lines.
//!
//! Several services' lines are put in the order of time, block by block. Who follows gets what
//! is there and is asked whether to wait for more. Sockets and threads are `serve`'s.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

use memchr::memmem::Finder;

use super::block::{CONTINUED, CUT};
use super::board::Board;
use super::query::{Boots, Failure, Query, Reply, TAIL_MAX, Wanted};
use super::record::{BootId, Flags, Line};
use super::walk::{Found, Place, Scope, Walk};
use super::{boots, failure};

/// Where answers go.
pub trait Audience {
    /// Takes one answer.
    ///
    /// # Errors
    /// When it is gone.
    fn tell(&mut self, reply: &Reply) -> io::Result<()>;

    /// Everything so far has been told; `seen` is the count of the bell that rings for more.
    ///
    /// # Errors
    /// When it is gone.
    fn wait(&mut self, seen: u64) -> io::Result<()>;
}

/// Answers `query`.
///
/// # Errors
/// Those of the audience, and those of reading files.
pub fn answer(board: &Board, query: &Query, audience: &mut impl Audience) -> io::Result<()> {
    match query {
        Query::Counters => {
            let counters = board.services.iter().map(|service| service.counters()).collect();
            audience.tell(&Reply::Counters(counters))
        }
        Query::Lines(wanted) => match Search::new(board, wanted)? {
            Ok(search) => search.run(audience),
            Err(refusal) => audience.tell(&Reply::Refused(refusal)),
        },
    }
}

struct Search<'a> {
    board: &'a Board,
    wanted: &'a Wanted,
    walks: Vec<Walk>,
    /// Boots, oldest first.
    order: Vec<BootId>,
    filter: Filter<'a>,
    /// Matching lines to leave out, for `tail`.
    skip: usize,
}

impl<'a> Search<'a> {
    fn new(board: &'a Board, wanted: &'a Wanted) -> io::Result<Result<Self, String>> {
        let mut order = boots::known(&board.disk);
        order.retain(|boot| *boot != board.boot);
        order.push(board.boot);
        let scope = Scope { boots: choose(wanted.boot, &order), since: wanted.since };
        let first = scope.boots.as_ref().and_then(|boots| boots.first().copied());
        let mut walks = Vec::new();
        for name in names(board, wanted)? {
            let service = board.services.iter().find(|service| service.name == name).cloned();
            let place = Place { disk: board.disk.join(&name), name, service };
            match wanted.failure {
                None => walks.push(Walk::new(place, &scope, board.boot)?),
                Some(which) => match Walk::of_failure(place, file_of(which)) {
                    Ok(walk) => walks.push(walk),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                },
            }
        }
        if walks.is_empty() && wanted.failure.is_none() {
            return Ok(Err(format!("no lines of {}", wanted.service.as_deref().unwrap_or("anybody"))));
        }
        let filter = Filter::new(board, wanted, first);
        let mut search = Self { board, wanted, walks, order, filter, skip: 0 };
        search.find_tail()?;
        Ok(Ok(search))
    }

    /// Leaves out what is before the last lines that are wanted.
    fn find_tail(&mut self) -> io::Result<()> {
        let Some(tail) = self.wanted.tail else { return Ok(()) };
        let tail = tail.min(TAIL_MAX) as usize;
        let mut total = 0;
        for walk in &mut self.walks {
            let name = walk.name().to_owned();
            walk.keep_last(tail, |found, text| self.filter.lines(&name, found, text).count())?;
            let mut counting = walk.again();
            while let Some(found) = counting.peek()? {
                if self.filter.is_after_the_question(&name, &found) {
                    break;
                }
                total += self.filter.lines(&name, &found, counting.text()).count();
                counting.pass();
            }
        }
        self.skip = total.saturating_sub(tail);
        Ok(())
    }

    fn run(mut self, audience: &mut impl Audience) -> io::Result<()> {
        loop {
            let seen = self.board.news.count();
            while let Some(n) = self.earliest()? {
                let Some(walk) = self.walks.get_mut(n) else { break };
                if let Some(found) = walk.peek()? {
                    let service = walk.name().to_owned();
                    if found.missed > 0 {
                        self.board.missed.fetch_add(found.missed, Relaxed);
                        audience.tell(&Reply::Missed { service: service.clone(), lines: found.missed })?;
                    }
                    for (number, text) in self.filter.lines(&service, &found, walk.text()) {
                        if self.skip > 0 {
                            self.skip -= 1;
                            continue;
                        }
                        audience.tell(&Reply::Line(line(&service, &found, number, text)))?;
                    }
                }
                walk.pass();
            }
            if !self.wanted.follow || self.wanted.failure.is_some() {
                return Ok(());
            }
            audience.wait(seen)?;
        }
    }

    /// The walk that is at the earliest block.
    fn earliest(&mut self) -> io::Result<Option<usize>> {
        let mut earliest = None;
        for (n, walk) in self.walks.iter_mut().enumerate() {
            let Some(found) = walk.peek()? else { continue };
            if !self.wanted.follow && self.filter.is_after_the_question(walk.name(), &found) {
                continue;
            }
            let boot = self.order.iter().position(|boot| *boot == found.boot);
            let key = (boot, found.header.monotonic, n);
            earliest = earliest.into_iter().chain([key]).min();
        }
        Ok(earliest.map(|(_, _, n)| n))
    }
}

fn line(service: &str, found: &Found, number: u64, text: &[u8]) -> Line {
    let header = &found.header;
    Line {
        service: service.to_owned(),
        realtime_us: header.realtime,
        monotonic_ms: header.monotonic / 1000,
        boot: found.boot,
        number,
        text: text.to_vec(),
        flags: Flags {
            cut: header.flags & CUT != 0,
            continued: header.flags & CONTINUED != 0,
            dropped: header.gone,
            priority: header.priority,
        },
    }
}

/// Which lines of a block are wanted.
struct Filter<'a> {
    since: u64,
    grep: Option<Finder<'a>>,
    after: &'a [(String, u64)],
    /// The boot that `after` is about.
    first: Option<BootId>,
    boot: BootId,
    /// The next numbers when the question was asked: without `follow`, there is an end.
    until: Vec<(String, u64)>,
}

impl<'a> Filter<'a> {
    fn new(board: &Board, wanted: &'a Wanted, first: Option<BootId>) -> Self {
        Self {
            since: wanted.since.unwrap_or(0),
            grep: wanted.grep.as_ref().map(Finder::new),
            after: &wanted.after,
            first,
            boot: board.boot,
            until: board
                .services
                .iter()
                .map(|service| (service.name.clone(), service.lines.load(Relaxed)))
                .collect(),
        }
    }

    fn is_after_the_question(&self, service: &str, found: &Found) -> bool {
        let until = self.until.iter().find(|(name, _)| name == service);
        found.boot == self.boot && until.is_some_and(|(_, until)| found.header.first >= *until)
    }

    fn lines<'b>(
        &'b self,
        service: &str,
        found: &Found,
        text: &'b [u8],
    ) -> impl Iterator<Item = (u64, &'b [u8])> + use<'a, 'b> {
        let known = self.after.iter().find(|(name, _)| name == service && Some(found.boot) == self.first);
        let known = known.map(|(_, number)| *number);
        let old = found.header.realtime < self.since;
        found.header.split(text).filter(move |(number, text)| {
            !old && known.is_none_or(|known| *number > known)
                && self.grep.as_ref().is_none_or(|grep| grep.find(text).is_some())
        })
    }
}

/// The names of those whose lines are wanted: also of services that only earlier boots had.
fn names(board: &Board, wanted: &Wanted) -> io::Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> = board.services.iter().map(|service| service.name.clone()).collect();
    match fs::read_dir(&board.disk) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    names.extend(entry.file_name().into_string());
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(service) = &wanted.service {
        names.retain(|name| name == service);
    }
    Ok(names)
}

fn choose(wanted: Boots, order: &[BootId]) -> Option<Vec<BootId>> {
    match wanted {
        Boots::All => None,
        Boots::Current => Some(order.last().copied().into_iter().collect()),
        Boots::Ago(n) => Some(order.iter().rev().nth(n.into()).copied().into_iter().collect()),
        Boots::Id(boot) => Some(vec![boot]),
        Boots::Since(boot) => {
            let known = order.iter().position(|other| *other == boot).map_or(0, |at| at + 1);
            Some([boot].into_iter().chain(order.iter().skip(known).copied()).collect())
        }
    }
}

fn file_of(which: Failure) -> &'static str {
    match which {
        Failure::First => failure::FIRST,
        Failure::Latest => failure::LATEST,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::logd::block::Header;
    use crate::logd::board::Service;
    use crate::logd::disk::Disk;
    use crate::logd::ring::Ring;

    const OLD: BootId = BootId([1; 16]);
    const NEW: BootId = BootId([2; 16]);

    /// Everything that was told.
    #[derive(Default)]
    struct Told(Vec<Reply>);

    impl Audience for Told {
        fn tell(&mut self, reply: &Reply) -> io::Result<()> {
            self.0.push(reply.clone());
            Ok(())
        }

        fn wait(&mut self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    impl Told {
        fn texts(&self) -> Vec<String> {
            let text = |reply: &Reply| match reply {
                Reply::Line(line) => line.shown(),
                other => panic!("{other:?}"),
            };
            self.0.iter().map(text).collect()
        }
    }

    fn header(monotonic: u64) -> Header {
        Header { lines: 1, monotonic, realtime: 1_000_000, ..Header::default() }
    }

    /// etcd said "old" late in the boot before, "new" early in this one; flannel was only in the image before.
    fn board(dir: &std::path::Path) -> Board {
        let disk = dir.join("disk");
        for (service, monotonic) in [("etcd", 900), ("flannel", 800)] {
            let text = format!("{service} old\n");
            let header = header(monotonic).over(text.as_bytes());
            let (mut ring, _) = Disk::open(&disk.join(service), 1 << 20, OLD).unwrap();
            ring.append(&[&header.encode()[..], text.as_bytes()].concat()).unwrap();
        }
        boots::note(&disk, OLD).unwrap();
        boots::note(&disk, NEW).unwrap();
        let service = Arc::new(Service::new("etcd".to_owned(), dir.join("memory"), 1 << 20));
        let mut ring = Ring::open(&service.memory, NEW).unwrap();
        ring.append(header(5), b"etcd new\n").unwrap();
        service.set_head(ring.head());
        service.lines.store(1, Relaxed);
        Board::new(NEW, disk, vec![service])
    }

    fn texts(wanted: Wanted) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let mut told = Told::default();
        answer(&board(dir.path()), &Query::Lines(wanted), &mut told).unwrap();
        told.texts()
    }

    #[test]
    fn boots_come_in_their_order_whatever_the_clock_said() {
        let all = texts(Wanted { boot: Boots::All, ..Wanted::default() });
        assert_eq!(all, ["flannel old", "etcd old", "etcd new"]);
        assert_eq!(texts(Wanted { boot: Boots::All, tail: Some(2), ..Wanted::default() }), all[1..]);
    }

    #[test]
    fn a_boot_is_asked_for_by_how_long_ago_it_was() {
        let ago = |n| texts(Wanted { boot: Boots::Ago(n), ..Wanted::default() });
        assert_eq!(texts(Wanted::default()), ["etcd new"]);
        assert_eq!(ago(0), ["etcd new"]);
        assert_eq!(ago(1), ["flannel old", "etcd old"]);
        assert!(ago(2).is_empty());
        assert_eq!(texts(Wanted { boot: Boots::Id(OLD), ..Wanted::default() }), ago(1));
    }

    #[test]
    fn who_comes_back_in_another_boot_gets_the_rest_of_the_one_it_knows_and_all_since() {
        let after = |boot, names: &[&str]| {
            let after = names.iter().map(|name| ((*name).to_owned(), 0)).collect();
            texts(Wanted { boot: Boots::Since(boot), after, ..Wanted::default() })
        };
        assert_eq!(after(OLD, &[]), ["flannel old", "etcd old", "etcd new"]);
        assert_eq!(after(OLD, &["etcd"]), ["flannel old", "etcd new"]);
        assert_eq!(after(NEW, &["etcd"]), [""; 0]);
        assert_eq!(after(BootId([9; 16]), &["etcd"]), after(OLD, &[]), "what nobody knows was before all");
    }

    #[test]
    fn nobody_is_known_who_never_said_anything_and_has_no_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let mut told = Told::default();
        let wanted = Wanted { service: Some("haproxy".to_owned()), ..Wanted::default() };
        answer(&board(dir.path()), &Query::Lines(wanted), &mut told).unwrap();
        assert_eq!(told.0, [Reply::Refused("no lines of haproxy".to_owned())]);
    }
}
