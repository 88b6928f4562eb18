//! What services print (S41 to S43), with the real logd behind PID 1's pipes.
//!
//! That a service goes on whatever logd does, and what is lost by that. The rings themselves, odd
//! bytes, full disks and other boots are in `tests/logd`, forwarding (S44) in `tests/log_forward`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use init::control::message::StateName;
use init::logd::client;
use init::logd::query::{Reply, SOCKET, Wanted};
use init::monotonic::Monotonic;

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::inside::report;
use crate::meddle;
use crate::{Scenario, look, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        a_service_that_prints_goes_on_while_logd_is_killed_again_and_again,
        while_logd_stays_away_services_go_on_and_what_is_dropped_is_counted,
        a_logd_that_hangs_holds_no_service_up,
        long_lines_and_bytes_that_are_no_text_are_kept_as_they_are,
        helpers_that_are_killed_in_a_loop_change_no_services_state,
    ]
}

fn with_logd(services: &str) -> Setup {
    Setup { services: services.to_owned(), ours: &["logd"], ..Setup::default() }
}

/// What logd has of a service, byte by byte; nothing while logd is away.
pub(crate) fn lines(service: &str) -> Option<Vec<Vec<u8>>> {
    let wanted = Wanted { service: Some(service.to_owned()), ..Wanted::default() };
    let mut lines = Vec::new();
    for reply in client::lines(Path::new(SOCKET), wanted).ok()? {
        match reply.ok()? {
            Reply::Line(line) if line.flags.dropped == 0 => lines.push(line.text),
            _ => {}
        }
    }
    Some(lines)
}

/// The numbers of the actor's lines that logd has.
pub(crate) fn numbers(service: &str) -> Option<BTreeSet<u64>> {
    let number = |line: &Vec<u8>| String::from_utf8_lossy(line).strip_prefix("line ")?.parse().ok();
    Some(lines(service)?.iter().filter_map(number).collect())
}

/// S41 and S43.
fn a_service_that_prints_goes_on_while_logd_is_killed_again_and_again(boot: &Boot) {
    const LINES: u64 = 4000;
    let services = format!(
        r#"
        [[service]]
        name = "talker"
        exec = ["/usr/bin/actor", "await=/run/go", "talk={LINES}:1"]
        ready = {{ by = "exit" }}
        "#
    );
    boot.machine_with(with_logd(&services), |pid1| {
        pid1.until("logd", StateName::Ready);
        meddle::touch("/run/go");
        let mut kills = 0;
        while pid1.state("talker") != StateName::Done {
            let pid = pid1.until("logd", StateName::Ready).pid.unwrap();
            std::thread::sleep(Duration::from_millis(200));
            meddle::kill(pid);
            pid1.until_another("logd", pid);
            kills += 1;
            assert!(kills < 200, "the talker goes on");
        }
        assert_eq!(pid1.service("talker").starts, 1);
        let kept = until("the last line is kept", PATIENCE, || {
            numbers("talker").filter(|kept| kept.contains(&(LINES - 1)))
        });
        let lost = LINES - u64::try_from(kept.len()).unwrap();
        report(&format!("{kills} kills, {lost} of {LINES} lines lost, {:?}", pid1.own()));
        // What logd had read and not put into its ring yet: a turn's lines for each kill, and far less than a pipe.
        assert!(lost <= kills * 100, "{lost} lines are lost by {kills} kills");
        assert_eq!(pid1.own().log_bytes_dropped, 0);
    });
}

/// S41.
fn while_logd_stays_away_services_go_on_and_what_is_dropped_is_counted(boot: &Boot) {
    const LINES: u64 = 300_000;
    let services = format!(
        r#"
        [[service]]
        name = "talker"
        exec = ["/usr/bin/actor", "await=/run/go", "print={LINES}", "touch=/run/printed", "await=/run/again", "print=3", "stay"]
        log = {{ lines-per-second = 1000000, burst = 1000000 }}
        "#
    );
    boot.machine_with(with_logd(&services), |pid1| {
        pid1.until("logd", StateName::Ready);
        pid1.until("talker", StateName::Ready);
        // Nobody may stop it, so it is killed, and no other can be born.
        let pids_max = look::group("logd").join("pids.max");
        fs::write(&pids_max, "0").unwrap();
        meddle::kill(pid1.pid("logd"));
        until("no logd can be started", PATIENCE, || {
            pid1.service("logd").last_end.filter(|end| end.contains("starting a process"))
        });
        meddle::touch("/run/go");
        until("all is printed", PATIENCE * 3, || Path::new("/run/printed").exists().then_some(()));
        let printed: u64 = (0..LINES).map(|n| format!("line {n}\n").len() as u64).sum();
        until("all that was printed is dropped", PATIENCE, || {
            (pid1.own().log_bytes_dropped >= printed).then_some(())
        });
        fs::write(&pids_max, "max").unwrap();
        pid1.until("logd", StateName::Ready);
        let dropped = pid1.own().log_bytes_dropped;
        meddle::touch("/run/again");
        let kept = until("what is printed now is kept", PATIENCE, || {
            numbers("talker").filter(|kept| kept.len() >= 3)
        });
        assert_eq!(kept, BTreeSet::from([0, 1, 2]));
        // PID 1's own lines go the same way: a few for each logd that could not be started.
        assert!((printed..printed + 65_536).contains(&dropped), "{dropped} of {printed} bytes");
    });
}

/// S41: it is there, and does nothing. Nobody waits until that is certain: a pipe that fills up is emptied before.
fn a_logd_that_hangs_holds_no_service_up(boot: &Boot) {
    // A little more than its pipe holds.
    const LINES: u64 = 100_000;
    let services = format!(
        r#"
        [[service]]
        name = "talker"
        exec = ["/usr/bin/actor", "await=/run/go", "print={LINES}", "touch=/run/printed", "await=/run/again", "say=again", "stay"]
        log = {{ lines-per-second = 1000000, burst = 1000000 }}
        "#
    );
    boot.machine_with(with_logd(&services), |pid1| {
        let hangs = pid1.until("logd", StateName::Ready);
        pid1.until("talker", StateName::Ready);
        meddle::hold(hangs.pid.unwrap());
        meddle::touch("/run/go");
        until("all is printed", PATIENCE, || Path::new("/run/printed").exists().then_some(()));
        let printed = Monotonic::now().millis();
        pid1.until_another("logd", hangs.pid.unwrap());
        let events = pid1.events(0).into_iter();
        let killed: Vec<u64> =
            events.filter(|event| event.cause.contains("does not read")).map(|event| event.at).collect();
        assert_eq!(killed.len(), 1, "and it is on the record why");
        let after = killed[0] - hangs.stamps.ready.unwrap();
        report(&format!("all was printed at {printed} ms, killed at {} ms, after {after} ms", killed[0]));
        assert!(printed < killed[0], "it waited for room");
        // It took twenty seconds when its liveness was looked at. The machine may be slow, but not so slow.
        assert!(after < 12_000, "{after} ms");
        meddle::touch("/run/again");
        until("what is printed now is kept", PATIENCE, || {
            lines("talker").filter(|lines| lines.last().is_some_and(|line| line == b"again"))
        });
        let bytes = |numbers: BTreeSet<u64>| -> u64 {
            numbers.into_iter().map(|n| format!("line {n}\n").len() as u64).sum()
        };
        let (kept, all) = (bytes(numbers("talker").unwrap()), bytes((0..LINES).collect()));
        let dropped = pid1.own().log_bytes_dropped;
        // A line may be torn where dropping ends, and PID 1's own are among those that are dropped.
        assert!((all - 100..all + 4096).contains(&(kept + dropped)), "{kept} and {dropped} of {all} bytes");
    });
}

/// S42, through PID 1's pipe.
fn long_lines_and_bytes_that_are_no_text_are_kept_as_they_are(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "odd"
        exec = ["/usr/bin/actor", "await=/run/go", "print-odd=300000", "stay"]
    "#;
    boot.machine_with(with_logd(services), |pid1: &Pid1| {
        pid1.until("logd", StateName::Ready);
        pid1.until("odd", StateName::Ready);
        meddle::touch("/run/go");
        let kept = until("the end is kept", PATIENCE, || {
            lines("odd").filter(|lines| lines.last().is_some_and(|line| line == b"end"))
        });
        assert_eq!(kept[0], b"nul \0, no UTF-8 \xff\xfe, escape \x1b[31m");
        let long: Vec<u8> = kept[1..kept.len() - 1].concat();
        assert!(long.iter().all(|byte| *byte == b'x'));
        assert_eq!(long.len(), 300_000);
    });
}

/// S38. apid has its own tests, with certificates and without PID 1; it is no more to PID 1 than these are.
fn helpers_that_are_killed_in_a_loop_change_no_services_state(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "probed-by-file"
        exec = ["/usr/bin/actor", "touch=/run/yes", "say=hello", "talk=100000:1"]
        ready = { by = "probe", ask = ["file", "/run/slipway/overlays/yes"], every = "100ms" }
        liveness = { ask = ["file", "/run/slipway/overlays/yes"], every = "100ms", failures = 3 }

        [[service]]
        name = "storm"
        exec = ["/usr/bin/actor", "ready", "storm=100000:20"]
        ready = { by = "notify" }
        sandbox = { privileged = true }
    "#;
    let setup = Setup { services: services.to_owned(), ours: &["logd", "probed"], ..Setup::default() };
    boot.machine_with(setup, |pid1| {
        meddle::touch("/run/slipway/overlays/yes");
        let watched = ["probed-by-file", "storm"];
        let before = watched.map(|name| pid1.until(name, StateName::Ready));
        let since = pid1.events(0).last().unwrap().number + 1;
        for round in 0..20 {
            let helper = ["logd", "probed"][round % 2];
            let pid = pid1.until(helper, StateName::Ready).pid.unwrap();
            meddle::kill(pid);
            pid1.until_another(helper, pid);
            std::thread::sleep(Duration::from_millis(100));
        }
        let after = watched.map(|name| pid1.service(name));
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((before.pid, before.starts, after.state), (after.pid, after.starts, StateName::Ready));
        }
        for name in watched {
            assert_eq!(pid1.path(name, since), [], "{name}");
        }
    });
}
