//! PID 1 itself and what is around it (S39, S40, S45, S46): clocks, consoles, clients, storms.
//!
//! And what it must not do: turn when nothing happens, leave the dead lying around, keep more and
//! more descriptors and control groups.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use init::control::message::{Answer, Order, PACKET_MAX, Request, StateName};
use init::control::{CONTROL, client};
use node_sys::packet::{Connection, Received, Sent};

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::inside::report;
use crate::machine::{Ended, Reader};
use crate::meddle;
use crate::{Scenario, look, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        a_machine_at_rest_leaves_pid1_asleep,
        an_orphan_storm_leaves_no_zombie,
        ten_restarts_leave_no_descriptor_and_no_group_behind,
        ten_years_forward_and_back_change_no_pause_and_no_deadline,
        a_console_that_nobody_reads_any_more_holds_nothing_up,
        a_console_that_is_gone_holds_nothing_up,
        a_console_that_is_hung_up_is_opened_anew,
        a_console_that_was_gone_is_found_again,
        clients_that_send_rubbish_or_never_read_harm_nobody,
        a_storm_of_restarts_is_slowed_down_and_starves_nobody,
        a_storm_of_reloads_is_slowed_down_and_ends_well,
    ]
}

fn a_machine_at_rest_leaves_pid1_asleep(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "quiet"
        exec = ["/usr/bin/actor", "ready", "stay"]
        ready = { by = "notify" }
    "#;
    let setup = Setup { services: services.to_owned(), ours: &["logd", "probed"], ..Setup::default() };
    boot.machine_with(setup, |pid1| {
        pid1.until("quiet", StateName::Ready);
        pid1.until("logd", StateName::Ready);
        thread::sleep(Duration::from_secs(3));
        // A question takes turns of its own: connected, asked, hung up.
        let first = pid1.own().turns;
        let cost = pid1.own().turns - first;
        let before = pid1.own();
        // Nor does logd wake it, which is asked only when something lies in its pipes.
        thread::sleep(Duration::from_secs(10));
        let after = pid1.own();
        let turns = after.turns - before.turns;
        report(&format!("{turns} turns in 10 s, of which a question takes {cost}"));
        assert!(turns <= cost + 3, "{turns} turns, a question takes {cost}");
    });
}

/// Invariant 4. What the kernel counts as PID 1's children is looked at all the time.
fn an_orphan_storm_leaves_no_zombie(boot: &Boot) {
    const FAMILIES: u64 = 60;
    const EACH: u64 = 50;
    let services = format!(
        r#"
        [[service]]
        name = "storm"
        exec = ["/usr/bin/actor", "await=/run/go", "storm={FAMILIES}:{EACH}", "touch=/run/over", "stay"]
        sandbox = {{ privileged = true }}

        [[service]]
        name = "worker"
        exec = ["/usr/bin/actor", "ready", "stay"]
        ready = {{ by = "notify" }}
        "#
    );
    boot.machine(&services, |pid1| {
        pid1.until("storm", StateName::Ready);
        let mut pid = pid1.until("worker", StateName::Ready).pid.unwrap();
        let reaped = pid1.own().reaped;
        meddle::touch("/run/go");
        let began = Instant::now();
        let mut seen: Vec<(i32, Instant)> = Vec::new();
        let (mut oldest, mut restarts) = (Duration::ZERO, 0);
        while !Path::new("/run/over").exists() {
            assert!(began.elapsed() < PATIENCE * 3, "the storm does not end");
            let now = Instant::now();
            let dead: Vec<i32> = look::zombies()
                .into_iter()
                .filter(|process| process.parent == 1)
                .map(|process| process.pid)
                .collect();
            seen.retain(|(pid, _)| dead.contains(pid));
            for pid in dead {
                if !seen.iter().any(|(other, _)| *other == pid) {
                    seen.push((pid, now));
                }
            }
            oldest = seen.iter().map(|(_, since)| now.duration_since(*since)).chain([oldest]).max().unwrap();
            // Meanwhile it supervises.
            if restarts < 5 {
                meddle::kill(pid);
                pid = pid1.until_another("worker", pid).pid.unwrap();
                restarts += 1;
            }
        }
        let took = began.elapsed();
        until("no zombie is left", PATIENCE, || look::zombies().is_empty().then_some(()));
        let own = pid1.own();
        let reaped = own.reaped - reaped;
        report(&format!("{reaped} reaped in {took:?}, a zombie was seen for {oldest:?} at most, {own:?}"));
        assert!(reaped >= FAMILIES * EACH, "{reaped}");
        // 100 ms by the book; machines that run tests are slow, and looking takes its time, too.
        assert!(oldest < Duration::from_secs(1), "{oldest:?}");
    });
}

fn ten_restarts_leave_no_descriptor_and_no_group_behind(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "plain"
        exec = ["/usr/bin/actor", "session=stay", "ready", "stay"]
        ready = { by = "notify" }
        before-start = [["/usr/bin/actor", "say=before"]]
        after-stop = [["/usr/bin/actor", "say=after"]]

        [[service]]
        name = "line"
        exec = ["/usr/bin/actor", "ready-line=4", "stay"]
        ready = { by = "descriptor", number = 4 }

        [[service]]
        name = "missing"
        exec = ["/usr/bin/nobody-made-this"]
        restart = { pause = "1ms", longest-pause = "1ms" }
        milestone = false
        start = "on-demand"
    "#;
    boot.machine(services, |pid1: &Pid1| {
        let rest = || {
            pid1.until("plain", StateName::Ready);
            pid1.until("line", StateName::Ready);
            // A question has a descriptor, too, until PID 1 has seen that it is hung up.
            thread::sleep(Duration::from_millis(300));
            (look::descriptors(), look::groups())
        };
        let once = |name: &&str| {
            let starts = pid1.service(name).starts;
            pid1.restart(name);
            until(&format!("{name} was restarted"), PATIENCE, || {
                let service = pid1.service(name);
                (service.starts > starts && service.state == StateName::Ready).then_some(())
            });
        };
        rest();
        ["plain", "line"].iter().for_each(once);
        let before = rest();
        for _ in 0..10 {
            ["plain", "line"].iter().for_each(once);
            meddle::kill(pid1.pid("line"));
            until("it is back", PATIENCE, || {
                Some(pid1.service("line")).filter(|line| line.state == StateName::Ready && line.pid.is_some())
            });
        }
        pid1.start("missing");
        until("missing was tried ten times", PATIENCE, || {
            (pid1.service("missing").starts >= 10).then_some(())
        });
        pid1.stop("missing");
        pid1.until("missing", StateName::Off);
        let after = rest();
        // Fewer is no leak: some are opened only while somebody asks.
        assert!(after.0 <= before.0 && after.1 == before.1, "{before:?}, then {after:?}");
    });
}

/// S39.
fn ten_years_forward_and_back_change_no_pause_and_no_deadline(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "crashing"
        exec = ["/usr/bin/actor", "first=/run/crashed", "exit=1"]
        restart = { pause = "4s" }
        milestone = false

        [[service]]
        name = "deaf"
        exec = ["/usr/bin/actor", "ignore-term", "ready", "stay"]
        ready = { by = "notify" }
        stop = { timeout = "3s" }

        [[service]]
        name = "late"
        exec = ["/usr/bin/actor", "stay"]
        ready = { by = "notify" }
        start-timeout = "4s"
        restart = { pause = "1h" }
        milestone = false
    "#;
    boot.machine(services, |pid1| {
        pid1.until("crashing", StateName::Backoff);
        pid1.until("deaf", StateName::Ready);
        pid1.stop("deaf");
        for years in [10, -20, 10] {
            meddle::shift_clock(years);
            thread::sleep(Duration::from_millis(300));
            assert_eq!(pid1.state("crashing"), StateName::Backoff, "{years} years");
            assert_eq!(pid1.state("deaf"), StateName::Stopping, "{years} years");
            assert_eq!(pid1.state("late"), StateName::Starting, "{years} years");
        }
        pid1.until("crashing", StateName::Ready);
        pid1.until("deaf", StateName::Off);
        pid1.until("late", StateName::Backoff);
        let events = pid1.events(0);
        let between = |name: &str, from: StateName, to: StateName| {
            let at = |state| {
                let of = events.iter().filter(|event| event.service.as_deref() == Some(name));
                of.filter(|event| event.change.is_some_and(|(_, to)| to == state))
                    .map(|event| event.at)
                    .next_back()
            };
            at(to).unwrap() - at(from).unwrap()
        };
        // 4 s ± 20 %; late when the machine is.
        let pause = between("crashing", StateName::Backoff, StateName::Waiting);
        assert!((3200..8000).contains(&pause), "paused {pause} ms");
        let patience = between("deaf", StateName::Stopping, StateName::Killing);
        assert!((3000..6000).contains(&patience), "killed after {patience} ms");
        let start = between("late", StateName::Starting, StateName::Stopping);
        assert!((4000..8000).contains(&start), "given up after {start} ms");
        assert!(events.windows(2).all(|pair| pair[0].at <= pair[1].at), "the record knows no way back");
    });
}

/// Prints far more than a console takes while the machine is not up, and everything is shown.
const NOISY: &str = r#"
    [[service]]
    name = "noisy"
    exec = ["/usr/bin/actor", "print=30000", "ready", "stay"]
    ready = { by = "notify" }

    [[service]]
    name = "crashing"
    exec = ["/usr/bin/actor", "exit=1"]
    restart = { pause = "1ms", longest-pause = "1ms" }
    milestone = false

    [[service]]
    name = "last"
    exec = ["/usr/bin/actor", "await=/run/up", "ready", "stay"]
    ready = { by = "notify" }
"#;

fn with_a_console_that(reader: Reader, boot: &Boot) {
    let setup = Setup { services: NOISY.to_owned(), ours: &["logd"], console: reader, ..Setup::default() };
    let ended = boot.machine_with(setup, |pid1| {
        pid1.until_within("noisy", StateName::Ready, PATIENCE * 2);
        until("much is said of the one that crashes", PATIENCE, || {
            (pid1.service("crashing").starts > 60).then_some(())
        });
        meddle::touch("/run/up");
        pid1.until("last", StateName::Ready);
        until("the machine is up", PATIENCE, || pid1.own().up);
        pid1.stop("crashing");
        pid1.until("crashing", StateName::Off);
    });
    assert!(!ended.console.contains("powering off"), "the reader was there to the end");
}

/// S40, full.
fn a_console_that_nobody_reads_any_more_holds_nothing_up(boot: &Boot) {
    with_a_console_that(Reader::StopsAfter(2000), boot);
}

/// S40, EIO: what a pulled cable or vhangup(2) look like to who writes.
fn a_console_that_is_gone_holds_nothing_up(boot: &Boot) {
    with_a_console_that(Reader::LeavesAfter(2000), boot);
}

/// Where people stand.
const CONSOLE: &str = "/dev/console";
/// The terminal that this is.
const TERMINAL: &str = "/dev/tty0";

/// Services of these names that say something when they are told to start, on a machine that is never up.
fn talkers(names: &[&str]) -> Setup {
    let mut services = String::from(
        r#"
        [[service]]
        name = "last"
        exec = ["/usr/bin/actor", "await=/run/never", "ready", "stay"]
        ready = { by = "notify" }
        "#,
    );
    for name in names {
        services += &format!(
            "[[service]]\nname = \"{name}\"\nexec = [\"/usr/bin/actor\", \"say=at work\", \"ready\", \"stay\"]\n\
             ready = {{ by = \"notify\" }}\nstart = \"on-demand\"\nmilestone = false\n"
        );
    }
    Setup { services, ours: &["logd"], ..Setup::default() }
}

/// Has PID 1 and logd say something of a service.
fn talk(pid1: &Pid1, name: &str) {
    pid1.start(name);
    pid1.until(name, StateName::Ready);
    // What it printed is logd's to show.
    thread::sleep(Duration::from_secs(1));
}

/// Whether PID 1 and logd were heard to say something of a service.
fn is_heard(ended: &Ended, name: &str) -> [bool; 2] {
    [format!("service {name}: ready"), format!("{name}| at work")].map(|line| ended.console.contains(&line))
}

/// Gives PID 1 and logd a terminal like any other for a console. What is opened as the console proper outlives a
/// hang-up in the kernel's hands; an adapter that is pulled out, and a container's console, do not.
fn make_the_console_a_terminal(pid1: &Pid1) {
    fs::remove_file(CONSOLE).unwrap();
    symlink(TERMINAL, CONSOLE).unwrap();
    fs::set_permissions(TERMINAL, Permissions::from_mode(0o666)).unwrap();
    pid1.order(Order::Reexec);
    until("PID 1 has replaced itself", PATIENCE, || (pid1.own().reexecs == 1).then_some(()));
    let logd = pid1.pid("logd");
    meddle::kill(logd);
    pid1.until_another("logd", logd);
}

/// Does nothing for a while, in which PID 1 does nothing either.
fn rest(pid1: &Pid1) {
    let before = pid1.own().turns;
    thread::sleep(Duration::from_secs(5));
    let turns = pid1.own().turns - before;
    assert!(turns < 10, "{turns} turns in 5 s: it wakes for a console that is not there");
}

/// S40, vhangup.
fn a_console_that_is_hung_up_is_opened_anew(boot: &Boot) {
    let ended = boot.machine_with(talkers(&["proper", "first", "second", "third"]), |pid1| {
        pid1.until("logd", StateName::Ready);
        let mut other = File::options().write(true).open(TERMINAL).unwrap();
        other.write_all(b"not hung up yet\n").unwrap();
        meddle::hang_up(TERMINAL);
        other.write_all(b"hung up\n").unwrap_err();
        talk(pid1, "proper");
        make_the_console_a_terminal(pid1);
        meddle::hang_up(TERMINAL);
        talk(pid1, "first");
        // Once more, and too soon: nobody opens a console over and over.
        meddle::hang_up(TERMINAL);
        talk(pid1, "second");
        rest(pid1);
        talk(pid1, "third");
    });
    let heard = ["proper", "first", "second", "third"].map(|name| is_heard(&ended, name));
    assert_eq!(heard, [[true; 2], [true; 2], [false; 2], [true; 2]], "{}", ended.words());
    // PID 1's and logd's.
    let dropped = ended.console.lines().filter(|line| line.ends_with(" lines dropped)"));
    assert_eq!(dropped.count(), 2, "{}", ended.words());
    assert!(ended.console.contains("machine: powering off"), "{}", ended.words());
}

/// S40, unplugged for a while.
fn a_console_that_was_gone_is_found_again(boot: &Boot) {
    let ended = boot.machine_with(talkers(&["first", "second", "third"]), |pid1| {
        pid1.until("logd", StateName::Ready);
        make_the_console_a_terminal(pid1);
        talk(pid1, "first");
        fs::remove_file(CONSOLE).unwrap();
        meddle::hang_up(TERMINAL);
        talk(pid1, "second");
        rest(pid1);
        symlink(TERMINAL, CONSOLE).unwrap();
        talk(pid1, "third");
    });
    let heard = ["first", "second", "third"].map(|name| is_heard(&ended, name));
    assert_eq!(heard, [[true; 2], [false; 2], [true; 2]], "{}", ended.words());
    assert!(ended.console.contains("machine: powering off"), "{}", ended.words());
}

/// S45. Only root and apid may connect at all; a network's clients are apid's, see its promises.
fn clients_that_send_rubbish_or_never_read_harm_nobody(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "worker"
        exec = ["/usr/bin/actor", "ready", "stay"]
        ready = { by = "notify" }
    "#;
    boot.machine(services, |pid1| {
        pid1.until("worker", StateName::Ready);
        let connect = || {
            let connection = Connection::connect(Path::new(CONTROL)).unwrap();
            connection.set_patience(Duration::from_secs(5)).unwrap();
            connection
        };
        let answer = |connection: &Connection| {
            let mut buffer = vec![0; PACKET_MAX];
            match connection.receive(&mut buffer).unwrap() {
                Received::Packet(length, _) => Some(Answer::decode(&buffer[..length]).unwrap()),
                _ => None,
            }
        };
        // What is opened late is open now, but for one file perhaps: that of the worker's group, if its end had not
        // to be waited for yet.
        let pid = pid1.pid("worker");
        meddle::kill(pid);
        pid1.until_another("worker", pid);
        thread::sleep(Duration::from_millis(300));
        let before = look::descriptors();
        // Half a message, bytes of no message, and one that is too long: refused, and the next is answered.
        let whole = Request::Explain("worker".to_owned()).encode().unwrap();
        let mut long = whole.clone();
        long.resize(PACKET_MAX + 1, 0);
        for bad in [&whole[..whole.len() - 1], &[0xff; 40], &long] {
            let client = connect();
            client.send(bad, &[]).unwrap();
            assert!(matches!(answer(&client), Some(Answer::Refused(_))), "{} bytes", bad.len());
            client.send(&whole, &[]).unwrap();
            assert!(matches!(answer(&client), Some(Answer::Explained(_))));
        }
        // Asks and never reads: hung up on, and nobody waits for it.
        let deaf = connect();
        for _ in 0..10_000 {
            if !matches!(deaf.send(&Request::Services.encode().unwrap(), &[]), Ok(Sent::Whole)) {
                break;
            }
        }
        assert_eq!(pid1.state("worker"), StateName::Ready);
        drop(deaf);
        // More at once than there are seats; those that have one keep it, the others are hung up on.
        let crowd: Vec<Connection> = (0..200).map(|_| connect()).collect();
        thread::sleep(Duration::from_millis(200));
        let seated = crowd.iter().filter(|client| {
            client.send(&Request::Own.encode().unwrap(), &[]).is_ok_and(|_| answer(client).is_some())
        });
        let seated = seated.count();
        assert!((1..200).contains(&seated), "{seated} have a seat");
        drop(crowd);
        assert_eq!(pid1.state("worker"), StateName::Ready);
        // Ten thousand that come and go.
        let began = Instant::now();
        for n in 0..10_000 {
            let client = connect();
            if n % 10 == 0 {
                let _ = client.send(&whole[..3], &[]);
            }
        }
        report(&format!("10 000 connections in {:?}", began.elapsed()));
        // Seats of the last ones are free once PID 1 has seen that they are gone; who comes before that is hung up on.
        until("there is a seat again", PATIENCE, || client::ask(Path::new(CONTROL), &Request::Own).ok());
        let pid = pid1.pid("worker");
        meddle::kill(pid);
        pid1.until_another("worker", pid);
        until("no descriptor is left of them", PATIENCE, || {
            (look::descriptors() <= before + 1).then_some(())
        });
    });
}

/// S46, as restarts.
fn a_storm_of_restarts_is_slowed_down_and_starves_nobody(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "storm"
        exec = ["/usr/bin/actor", "ready", "stay"]
        ready = { by = "notify" }

        [[service]]
        name = "other"
        exec = ["/usr/bin/actor", "ready", "stay"]
        ready = { by = "notify" }
    "#;
    boot.machine(services, |pid1| {
        pid1.until("storm", StateName::Ready);
        let first = pid1.until("other", StateName::Ready).pid.unwrap();
        let (began, starts) = (Instant::now(), pid1.service("storm").starts);
        let mut orders = 0;
        while began.elapsed() < Duration::from_secs(8) {
            pid1.restart("storm");
            orders += 1;
        }
        meddle::kill(first);
        let asked = Instant::now();
        pid1.until_another("other", first);
        let waited = asked.elapsed();
        let made = pid1.service("storm").starts - starts;
        report(&format!("{orders} orders, {made} restarts in 8 s; another's took {waited:?}"));
        // 100 at once, 20 a second then.
        assert!(f64::from(made) < 100.0 + 20.0 * began.elapsed().as_secs_f64(), "{made}");
        assert!(orders > made, "{orders} orders");
        assert!(waited < Duration::from_secs(5), "{waited:?}");
        pid1.until("storm", StateName::Ready);
    });
}

/// S46.
fn a_storm_of_reloads_is_slowed_down_and_ends_well(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "server"
        exec = ["/usr/bin/actor", "ready", "stay"]
        ready = { by = "notify" }
        reload = { by = "command", command = ["/usr/bin/actor", "say=reloaded"] }
    "#;
    boot.machine(services, |pid1| {
        let pid = pid1.until("server", StateName::Ready).pid.unwrap();
        let (began, since) = (Instant::now(), pid1.events(0).last().unwrap().number + 1);
        let (mut accepted, mut refused) = (0_u32, 0_u32);
        while began.elapsed() < Duration::from_secs(8) {
            match pid1.ask(&Request::Do(Order::Reload("server".to_owned()))) {
                Answer::Accepted { .. } => accepted += 1,
                Answer::Refused(_) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        report(&format!("{accepted} reloads accepted, {refused} refused in 8 s"));
        assert!(f64::from(accepted) < 100.0 + 20.0 * began.elapsed().as_secs_f64(), "{accepted}");
        assert!(accepted > 0);
        let server = pid1.until("server", StateName::Ready);
        assert_eq!((server.pid, server.starts, server.alarm), (Some(pid), 1, None));
        assert!(pid1.path("server", since).iter().all(|state| *state != StateName::Degraded));
    });
}
