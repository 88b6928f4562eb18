//! The real `init logd`, with pipes of the test's: what holds when it is stopped, killed, flooded
//! or its disk is full.
//!
//! The test is PID 1 here: it keeps the reading ends, as PID 1 does, and starts logd anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers are tests too")]

mod bench;

use std::fs;
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

use bench::{Bench, numbers, wait_for};
use init::logd::client;
use init::logd::query::{Boots, Failure, Reply, Wanted};
use init::logd::record::Line;

fn of(service: &str) -> Wanted {
    Wanted { service: Some(service.to_owned()), ..Wanted::default() }
}

#[test]
fn whatever_bytes_a_service_writes_come_back_as_they_were() {
    let mut bench = Bench::new(&["a"], "");
    bench.start();
    let long = vec![b'x'; 64 * 1024];
    let odd = b"nul \0, not UTF-8 \xff\xfe, escape \x1b[31m";
    bench.write(0, &[odd, &b"\n\n"[..], &long, b"\nend\n"].concat());
    let lines = bench.lines_until(of("a"), |lines| lines.last().is_some_and(|line| line.text == b"end"));
    assert_eq!(lines[0].text, odd);
    assert_eq!(lines[1].text, b"");
    let parts = &lines[2..lines.len() - 1];
    assert_eq!(parts.iter().map(|line| line.text.len()).sum::<usize>(), long.len());
    assert_eq!(
        parts.iter().map(|line| (line.flags.cut, line.flags.continued)).collect::<Vec<_>>(),
        [(true, false), (true, true), (true, true), (false, true)]
    );
    assert_eq!(numbers(&lines), (0..lines.len() as u64).collect::<Vec<_>>());
    assert!(!lines[0].shown().chars().any(char::is_control));
}

#[test]
fn lines_of_several_services_come_in_the_order_of_time() {
    let mut bench = Bench::new(&["a", "b", "c"], "");
    bench.start();
    for n in 0..30 {
        bench.write(n % 3, format!("line {n}\n").as_bytes());
        // Two lines that logd reads in the same turn have the same time.
        let wanted = Wanted { grep: Some(format!("line {n}").into_bytes()), ..Wanted::default() };
        bench.lines_until(wanted, |lines| lines.len() == 1);
    }
    let texts = |lines: &[Line]| lines.iter().map(Line::shown).collect::<Vec<_>>();
    let all: Vec<_> = (0..30).map(|n| format!("line {n}")).collect();
    assert_eq!(texts(&bench.lines(Wanted::default())), all);
    assert_eq!(texts(&bench.lines(Wanted { tail: Some(4), ..Wanted::default() })), all[26..]);
    let one = Wanted { tail: Some(2), grep: Some(b"1".to_vec()), ..of("b") };
    assert_eq!(texts(&bench.lines(one)), ["line 16", "line 19"]);
    let after = Wanted { after: vec![("b".to_owned(), 8)], ..of("b") };
    assert_eq!(texts(&bench.lines(after)), ["line 28"]);
    let since = bench.lines(of("a"))[5].realtime_us;
    assert_eq!(bench.lines(Wanted { since: Some(since), ..of("a") }).len(), 5);
    assert!(bench.lines(Wanted { boot: Boots::Ago(1), ..of("a") }).is_empty());
}

#[test]
fn who_follows_gets_new_lines_at_once() {
    let mut bench = Bench::new(&["a"], "");
    bench.start();
    bench.write(0, b"before\n");
    let mut follow = client::lines(&bench.socket(), Wanted { follow: true, ..of("a") }).unwrap();
    let mut next = || match follow.next().unwrap().unwrap() {
        Reply::Line(line) => line.shown(),
        other => panic!("{other:?}"),
    };
    assert_eq!(next(), "before");
    for n in 0..20 {
        thread::sleep(Duration::from_millis(10));
        let began = Instant::now();
        bench.write(0, format!("{n}\n").as_bytes());
        assert_eq!(next(), n.to_string());
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    }
}

#[test]
fn while_logd_is_stopped_a_service_writes_a_whole_pipe_before_it_waits_and_nothing_is_lost() {
    let mut bench = Bench::new(&["a"], "");
    bench.start();
    bench.signal("STOP");
    let mut written = 0_u64;
    let pipe = bench.pipe(0);
    node_sys::event::set_nonblocking(pipe).unwrap();
    loop {
        match (&*pipe).write(format!("{written:099}\n").as_bytes()) {
            Ok(100) => written += 1,
            Ok(other) => panic!("{other} bytes of a line were written"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written * 100 > 60_000, "{written} lines");
    bench.signal("CONT");
    let lines = bench.lines_until(of("a"), |lines| lines.len() as u64 >= written);
    let expected: Vec<_> = (0..written).map(|n| format!("{n:099}")).collect();
    assert_eq!(lines.iter().map(Line::shown).collect::<Vec<_>>(), expected);
}

#[test]
fn no_line_that_a_reader_saw_is_lost_by_kill_9_and_numbers_go_on() {
    let mut bench = Bench::new(&["a"], "0=a,4000000000,4000000000,16");
    let pipe = bench.pipe(0).try_clone().unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        let mut written = 0_u64;
        while stopped.try_recv().is_err() {
            let text: String = (0..20).map(|n| format!("line {}\n", written + n)).collect();
            (&pipe).write_all(text.as_bytes()).unwrap();
            written += 20;
            thread::sleep(Duration::from_micros(500));
        }
        written
    });
    let mut seen = Vec::new();
    for round in 0..15 {
        bench.start();
        let after = seen.last().map(|(number, _)| ("a".to_owned(), *number));
        let wanted = Wanted { follow: true, after: after.into_iter().collect(), ..of("a") };
        let answers = client::lines(&bench.socket(), wanted).unwrap();
        let until = Instant::now() + Duration::from_millis(20 + round * 7);
        for reply in answers {
            match reply {
                Ok(Reply::Line(line)) => seen.push((line.number, line.shown())),
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
            if Instant::now() > until {
                bench.kill();
            }
        }
    }
    stop.send(()).unwrap();
    let written = writer.join().unwrap();
    bench.start();
    let last = format!("line {}", written - 1);
    let lines = bench.lines_until(of("a"), |lines| lines.last().is_some_and(|line| line.shown() == last));
    let kept: Vec<_> = lines.iter().map(|line| (line.number, line.shown())).collect();
    assert_eq!(numbers(&lines), (0..kept.len() as u64).collect::<Vec<_>>(), "no gap in what is kept");
    assert!(seen.iter().zip(&kept).all(|(seen, kept)| seen == kept), "what was seen is still there");
    assert!(seen.len() > 1000, "{} lines were seen", seen.len());
    // What was between the pipe and the ring, 15 times at most 64 KiB.
    let lost = written - kept.len() as u64;
    assert!(lost < 15 * 6000, "{lost} of {written} were lost");
}

#[test]
fn in_a_storm_what_is_kept_and_what_is_dropped_is_what_was_written() {
    let mut bench = Bench::new(&["a"], "0=a,1000,5000,16");
    bench.start();
    let chunk = b"a line of a storm that nobody asked for\n".repeat(10_000);
    let began = Instant::now();
    for _ in 0..100 {
        bench.write(0, &chunk);
    }
    let took = began.elapsed();
    let counters = wait_for(|| {
        let counters = client::counters(&bench.socket()).unwrap().remove(0);
        let notices = bench.lines(Wanted { grep: Some(b"lines dropped".to_vec()), ..of("a") }).len() as u64;
        (counters.lines + counters.dropped_limit >= 1_000_000 + notices).then_some((counters, notices))
    });
    let (counters, notices) = counters;
    assert_eq!(counters.lines - notices + counters.dropped_limit, 1_000_000);
    assert!(counters.lines < 5000 + 1000 * (took.as_secs() + 3), "{counters:?}");
    assert!(took < Duration::from_secs(8), "a million lines took {took:?}");
    let said: u64 = bench.lines(of("a")).iter().map(|line| line.flags.dropped).sum();
    assert_eq!(said, counters.dropped_limit);
}

#[test]
fn the_lines_before_the_first_and_the_latest_failure_are_set_apart() {
    let mut bench = Bench::new(&["init", "a"], "");
    bench.start();
    for round in 0..3 {
        for n in 0..100 {
            bench.write(1, format!("{round}: {n}\n").as_bytes());
        }
        bench.write(0, b"before\n\x1efailed a 0\nafter\n");
        bench.lines_until(of("init"), |lines| lines.len() == (round + 1) * 2);
    }
    let apart = |failure| {
        let lines = bench.lines(Wanted { failure: Some(failure), ..of("a") });
        lines.iter().map(Line::shown).collect::<Vec<_>>()
    };
    let expected = |round: usize| (36..100).map(|n| format!("{round}: {n}")).collect::<Vec<_>>();
    assert_eq!(apart(Failure::First), expected(0));
    assert_eq!(apart(Failure::Latest), expected(2));
    wait_for(|| fs::exists(bench.dir().join("disk/a/latest.failure")).unwrap().then_some(()));
}

#[test]
fn a_reader_that_does_not_read_slows_nobody_and_is_told_what_it_missed() {
    let mut bench = Bench::new(&["a"], "0=a,4000000000,4000000000,1");
    bench.start();
    let line = vec![b'y'; 999];
    bench.write(0, &[&line[..], b"\n"].concat());
    let mut answers = client::lines(&bench.socket(), Wanted { follow: true, ..of("a") }).unwrap();
    // What was gone before it began to read is nothing that it missed.
    assert!(matches!(answers.next().unwrap().unwrap(), Reply::Line(_)));
    let began = Instant::now();
    let chunk = [&line[..], b"\n"].concat().repeat(1000);
    for _ in 0..50 {
        bench.write(0, &chunk);
    }
    bench.write(0, b"last\n");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let (mut lines, mut missed) = (1, 0);
    for reply in answers {
        match reply.unwrap() {
            Reply::Line(line) => {
                lines += 1;
                if line.text == b"last" {
                    break;
                }
            }
            Reply::Missed { lines, .. } => missed += lines,
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0);
    assert_eq!(lines + missed, 50_002);
}

#[test]
fn readers_beyond_the_limit_are_refused_and_may_come_back() {
    let mut bench = Bench::new(&["a"], "");
    bench.start();
    bench.write(0, b"hello\n");
    bench.lines_until(of("a"), |lines| lines.len() == 1);
    let follow = || client::lines(&bench.socket(), Wanted { follow: true, ..of("a") }).unwrap();
    let mut readers: Vec<_> = (0..40).map(|_| follow()).collect();
    let served = readers.iter_mut().filter_map(|reader| match reader.next().unwrap().unwrap() {
        Reply::Line(_) => Some(()),
        Reply::Refused(_) => None,
        other => panic!("{other:?}"),
    });
    // Those who asked before may not have left their seats yet.
    let served = served.count();
    assert!((28..=32).contains(&served), "{served}");
    drop(readers);
    wait_for(|| matches!(follow().next(), Some(Ok(Reply::Line(_)))).then_some(()));
}

#[test]
fn a_full_disk_costs_only_what_the_disk_would_have_had_and_passes() {
    let mut bench = Bench::new(&["a"], "0=a,4000000000,4000000000,4");
    if !bench.start_with_disk_of("300k") {
        let _ = writeln!(std::io::stdout(), "\nSKIPPED: no user namespaces here");
        return;
    }
    let line = [&[b'z'; 999][..], b"\n"].concat();
    for n in 0..40 {
        bench.write(0, &line.repeat(50));
        bench.lines_until(of("a"), |lines| lines.iter().any(|line| line.number == n * 50 + 49));
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(client::counters(&bench.socket()).unwrap()[0].lines, 2000, "memory has kept all");
    let disk = bench.disk_from_outside();
    assert!(fs::metadata(disk.join("a/0000000000000000.log")).unwrap().len() > 200_000);
    bench.enlarge_disk("8m");
    bench.write(0, b"room again\n");
    let counters = wait_for(|| {
        let counters = client::counters(&bench.socket()).unwrap().remove(0);
        (counters.dropped_disk > 0).then_some(counters)
    });
    assert!(counters.dropped_disk < 2000, "{counters:?}");
    let segments = fs::read_dir(bench.terminate().join("a")).unwrap();
    let has_it = |path| fs::read(path).unwrap().windows(10).any(|window| window == b"room again");
    assert!(segments.map(|entry| entry.unwrap().path()).any(has_it));
}

#[test]
fn after_an_orderly_end_everything_is_on_disk() {
    let mut bench = Bench::new(&["a"], "");
    bench.start();
    bench.write(0, b"first\nunfinished");
    bench.lines_until(of("a"), |lines| lines.len() == 1);
    let text = fs::read(bench.terminate().join("a/0000000000000000.log")).unwrap();
    assert!(text.ends_with(b"unfinished"));
    bench.start();
    let texts: Vec<_> = bench.lines(of("a")).iter().map(Line::shown).collect();
    assert_eq!(texts, ["first", "unfinished"]);
}
