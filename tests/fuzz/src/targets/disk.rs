//! The log store on a disk of any bytes: segments, failures, the order of boots, and questions to them.
//!
//! An input is a list of things written to files: raw bytes, blocks with good or bad checksums, beginnings of segments of this
//! and other boots. Reading ends, gives no more than there is, with numbers that grow; and what is written behind the debris
//! is found again. Frames of the readers' socket are read, too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use init::logd::answer::{Audience, answer};
use init::logd::block::{Header, TEXT_MAX, prefix};
use init::logd::board::{Board, Service};
use init::logd::disk::Disk;
use init::logd::query::{ANSWER_MAX, Boots, Failure, QUESTION_MAX, Query, Reply, Wanted, receive, send};
use init::logd::record::BootId;
use init::logd::ring::Ring;
use init::logd::segment::{Next, Reader};
use init::logd::{failure, segment};
use tempfile::TempDir;

use crate::input::Input;

const OLD: BootId = BootId([1; 16]);
const NEW: BootId = BootId([2; 16]);

/// The most things that are written.
const THINGS_MAX: usize = 200;
/// What is written behind the debris.
const LAST: &[u8] = b"after all that\n";

pub(super) fn run(input: &[u8]) {
    frames(input);
    thread_local! { static PLACE: RefCell<Option<TempDir>> = const { RefCell::new(None) }; }
    PLACE.with_borrow_mut(|place| {
        // In memory: a disk would only make it slow.
        let make = || tempfile::tempdir_in(Path::new("/dev/shm")).or_else(|_| tempfile::tempdir()).unwrap();
        let root = place.get_or_insert_with(|| prepared(make())).path().to_owned();
        store(&mut Input::new(input), &root);
    });
}

/// Directories are made once: they stay for the next input.
fn prepared(place: TempDir) -> TempDir {
    DIRECTORIES.iter().for_each(|directory| fs::create_dir_all(place.path().join(directory)).unwrap());
    place
}

fn frames(input: &[u8]) {
    if let Ok(Some(query)) = receive::<Query>(&mut &input[..], QUESTION_MAX) {
        let mut sent = Vec::new();
        send(&mut sent, &query).unwrap();
        assert_eq!(receive::<Query>(&mut &sent[..], QUESTION_MAX).unwrap(), Some(query));
    }
    if let Ok(Some(reply)) = receive::<Reply>(&mut &input[..], ANSWER_MAX) {
        let mut sent = Vec::new();
        send(&mut sent, &reply).unwrap();
        assert_eq!(receive::<Reply>(&mut &sent[..], ANSWER_MAX).unwrap(), Some(reply));
    }
}

/// Where a service's lines are.
const DISK: &str = "disk/etcd";
const MEMORY: &str = "memory";
/// Where files are.
const DIRECTORIES: [&str; 2] = [DISK, MEMORY];
/// The files that an input writes.
const FILES: [&str; 9] = [
    "disk/etcd/0000000000000000.log",
    "disk/etcd/0000000000000001.log",
    "disk/etcd/00000000000000ff.log",
    "disk/etcd/latest.failure",
    "disk/boots",
    "memory/0000000000000000.log",
    "memory/0000000000000001.log",
    "memory/first.failure",
    "disk/etcd/ffffffffffffffff.log",
];

fn store(input: &mut Input<'_>, root: &Path) {
    let what = input.below(4);
    let wanted = question(input);
    let mut files = debris(input);
    let (disk, memory) = (root.join(DISK), root.join(MEMORY));
    // Files are what takes most of the time: none is made that nobody looks for.
    match what {
        1 => files.retain(|file, _| file.starts_with(DISK)),
        2 => files.retain(|file, _| file.starts_with(MEMORY)),
        _ => {}
    }
    for (file, bytes) in &files {
        fs::write(root.join(file), bytes).unwrap();
    }
    match what {
        0 => {
            files.keys().filter(|file| file.ends_with(".log")).for_each(|file| read(&root.join(file)));
            failure::set_apart(&memory, NEW).unwrap();
            assert!(memory.join(failure::FIRST).exists() && memory.join(failure::LATEST).exists());
        }
        // Its own lines are found again, behind whatever was there.
        1 => {
            let (mut writer, next) = Disk::open(&disk, 1 << 20, NEW).unwrap();
            let last = Header { lines: 1, first: next.unwrap_or(0), ..Header::default() }.over(LAST);
            writer.append(&[&last.encode()[..], LAST].concat()).unwrap();
            assert!(has_last(&disk), "a line is kept on disk, but is not found there");
        }
        2 => {
            let mut ring = Ring::open(&memory, NEW).unwrap();
            ring.append(Header { lines: 1, monotonic: 5, ..Header::default() }, LAST).unwrap();
            assert!(has_last(&memory), "a line is kept in memory, but is not found there");
        }
        _ => {
            let whole: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
            ask(root, &wanted, whole);
        }
    }
    // Three of them make files of their own.
    let made = [Some(MEMORY), Some(DISK), Some(MEMORY), None][what];
    made.into_iter().for_each(|directory| clear(&root.join(directory)));
    for file in files.keys().filter(|file| made.is_none_or(|directory| !file.starts_with(directory))) {
        fs::remove_file(root.join(file)).unwrap();
    }
}

/// Removes what was made in a directory.
fn clear(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

/// Asks, and is told no more than was wanted and there is.
fn ask(root: &Path, wanted: &Wanted, whole: u64) {
    let service = Arc::new(Service::new("etcd".to_owned(), root.join("memory"), 1 << 20));
    // As a shelf would have left them, whatever the segments say.
    service.set_head((1, whole));
    service.lines.store(u64::MAX, std::sync::atomic::Ordering::Relaxed);
    let board = Board::new(NEW, root.join("disk"), vec![service]);
    let mut told = Told { lines: 0, most: whole };
    let _ = answer(&board, &Query::Lines(wanted.clone()), &mut told);
    if let Some(tail) = wanted.tail {
        assert!(told.lines <= u64::from(tail), "{} lines, although {tail} were wanted", told.lines);
    }
}

/// What a reader asks.
fn question(input: &mut Input<'_>) -> Wanted {
    let bits = input.below(256);
    let bit = |n: usize| bits >> n & 1 == 1;
    let small = input.below(64);
    Wanted {
        service: bit(0).then(|| "etcd".to_owned()),
        since: bit(1).then_some(small as u64),
        boot: [Boots::All, Boots::Current, Boots::Ago(1), Boots::Id(OLD)][small % 4],
        grep: bit(2).then(|| vec![b'a']),
        follow: false,
        tail: bit(3).then(|| u32::try_from(small).unwrap()),
        failure: bit(4).then_some(if bit(5) { Failure::First } else { Failure::Latest }),
        after: if bit(6) { vec![("etcd".to_owned(), small as u64)] } else { Vec::new() },
    }
}

/// What a disk may be left with.
fn debris(input: &mut Input<'_>) -> BTreeMap<&'static str, Vec<u8>> {
    let mut files: BTreeMap<&'static str, Vec<u8>> = BTreeMap::new();
    let (mut file, mut first) = (FILES[0], 0_u64);
    for _ in 0..THINGS_MAX {
        let Some(choice) = input.byte() else { break };
        let bytes = files.entry(file).or_default();
        match choice % 12 {
            0 => file = FILES[input.below(FILES.len())],
            1 => {
                let boot = [OLD, NEW][input.below(2)];
                bytes.extend(prefix(boot, first));
            }
            2 => {
                let length = input.below(256);
                bytes.extend(input.bytes(length));
            }
            3 => first = input.number(),
            4 => _ = bytes.pop(),
            5 if choice > 128 => bytes.extend(block(input, &mut first, Spoiled::Header)),
            5 => bytes.extend(block(input, &mut first, Spoiled::Text)),
            6 => bytes.extend(vec![0; input.below(256) * 16]),
            7 => bytes.extend(format!("{NEW}\n").bytes()),
            _ => bytes.extend(block(input, &mut first, Spoiled::Nothing)),
        }
    }
    files.retain(|_, bytes| !bytes.is_empty());
    // Most of them begin as they should.
    for (file, bytes) in &mut files {
        if !file.ends_with("boots") && bytes.len() % 8 != 7 && !bytes.starts_with(&prefix(NEW, 0)[..8]) {
            let old = std::mem::take(bytes);
            *bytes = [&prefix(NEW, 0)[..], &old].concat();
        }
    }
    files
}

#[derive(PartialEq)]
enum Spoiled {
    Nothing,
    Header,
    Text,
}

fn block(input: &mut Input<'_>, first: &mut u64, spoiled: Spoiled) -> Vec<u8> {
    let length = input.below(256);
    let text = input.bytes(length);
    let lines = match input.below(8) {
        0 => u32::try_from(input.number() & 0xffff_ffff).unwrap(),
        _ => u32::try_from(text.iter().filter(|byte| **byte == b'\n').count()).unwrap(),
    };
    let odd = input.below(8) == 0;
    let mut number = |usual| if odd { input.number() } else { usual };
    let header = Header {
        lines,
        first: *first,
        monotonic: number(*first),
        realtime: number(7),
        gone: number(0),
        bytes: number(9),
        dropped: number(0),
        ..Header::default()
    };
    *first = first.wrapping_add(u64::from(lines));
    let mut bytes = [&header.over(text).encode()[..], text].concat();
    match spoiled {
        Spoiled::Header => bytes[20] ^= 1,
        Spoiled::Text => *bytes.last_mut().unwrap() ^= 1,
        Spoiled::Nothing => {}
    }
    bytes
}

/// Reads a segment: it ends, and numbers only grow.
fn read(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    let Some(mut reader) = Reader::open(path).unwrap() else { return };
    let (mut due, mut seen) = (0, 0);
    while let Next::Block(header) = reader.next().unwrap() {
        assert!(header.first >= due, "numbers go back");
        assert_eq!(header.length as usize, reader.text().len());
        assert!(reader.text().len() <= TEXT_MAX && header.fits(reader.text()));
        due = header.next();
        seen += header.span() as u64;
        assert!(seen <= length, "more is read than there is");
        let lines = header.split(reader.text()).count();
        assert!(lines <= reader.text().len() + 1);
    }
    assert!(reader.offset() <= length);
    assert_eq!(reader.next().unwrap(), Next::End, "an end that is none");
}

fn has_last(directory: &Path) -> bool {
    let paths: Vec<PathBuf> = segment::list(directory)
        .unwrap()
        .into_iter()
        .map(|number| segment::path(directory, number))
        .collect();
    paths.iter().any(|path| {
        let Some(mut reader) = Reader::open(path).unwrap() else { return false };
        let mut found = false;
        while let Next::Block(_) = reader.next().unwrap() {
            found |= reader.text() == LAST;
        }
        found
    })
}

/// Counts what it is told, and has had enough when there cannot be so much.
struct Told {
    lines: u64,
    most: u64,
}

impl Audience for Told {
    fn tell(&mut self, reply: &Reply) -> io::Result<()> {
        if let Reply::Line(_) = reply {
            self.lines += 1;
        }
        assert!(self.lines <= self.most, "more lines than bytes");
        let mut sent = Vec::new();
        send(&mut sent, reply)
    }

    fn wait(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let line = |text: &[u8]| [&[8, u8::try_from(text.len()).unwrap()], text, &[1, 1]].concat();
    let mut seeds = Vec::new();
    for (what, bits) in [(0, 0), (1, 0), (2, 0), (3, 0), (3, 8), (3, 16), (3, 0x4f), (3, 0x32)] {
        let mut seed = vec![what, bits, 4, 1, 1];
        seed.extend(line(b"one\n"));
        seed.extend(line(b"two\ntwo\n"));
        seed.extend([0, 5, 1, 1, 3, 1, 9]);
        seed.extend(line(b"nine\n"));
        seed.extend([5, 3, b'a', b'b', b'\n', 1, 1, 0, 1, 1, 0]);
        seed.extend(line(b"old\n"));
        seed.extend([6, 9, 0, 3, 1, 1]);
        seed.extend(line(b"failed\n"));
        seeds.push(seed);
    }
    for query in [Query::Counters, Query::Lines(Wanted { tail: Some(3), ..Wanted::default() })] {
        let mut sent = Vec::new();
        send(&mut sent, &query).unwrap();
        seeds.push(sent);
    }
    seeds
}
