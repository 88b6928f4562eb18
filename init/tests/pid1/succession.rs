//! PID 1 replaced by itself, by wish and after faults of its own (S37, S38).
//!
//! What it supervises must not notice: processes, pipes, pauses, deadlines and the record before and
//! after are compared. A fault here is a destroyed stack, not a signal that pretends.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use init::control::message::{EventRecord, Order, Request, ServiceView, StateName};
use init::control::{CONTROL, client};

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::inside::report;
use crate::machine::Ended;
use crate::meddle;
use crate::{Scenario, logs, look, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        a_reexec_changes_no_process_no_pause_no_deadline_and_no_record,
        a_reexec_under_load_loses_no_end_and_no_line,
        a_reexec_is_refused_while_a_step_runs_that_could_not_be_handed_over,
        a_pid1_that_faults_goes_on_with_what_it_supervises,
        a_pid1_that_faults_again_and_again_ends_the_machine_in_order,
        a_pid1_that_faults_again_before_it_goes_on_ends_the_machine_in_order,
    ]
}

/// Services in every state that lasts, and fifty that run.
fn services() -> String {
    let mut services = String::from(
        r#"
        [[service]]
        name = "crashing"
        exec = ["/usr/bin/actor", "first=/run/crashed", "exit=1"]
        restart = { pause = "12s" }
        milestone = false

        [[service]]
        name = "deaf"
        exec = ["/usr/bin/actor", "ignore-term", "ready", "stay"]
        ready = { by = "notify" }
        stop = { timeout = "9s" }

        [[service]]
        name = "late"
        exec = ["/usr/bin/actor", "await=/run/go", "ready", "stay"]
        ready = { by = "notify" }
        start-timeout = "1min"
        milestone = false

        [[service]]
        name = "by-line"
        exec = ["/usr/bin/actor", "await=/run/go", "ready-line=5", "stay"]
        ready = { by = "descriptor", number = 5 }
        milestone = false

        [[service]]
        name = "task"
        exec = ["/usr/bin/actor", "exit=0"]
        ready = { by = "exit" }

        [[service]]
        name = "failed"
        exec = ["/usr/bin/actor", "exit=3"]
        ready = { by = "exit" }
        restart = { pause = "1ms", attempts = 2 }
        milestone = false

        [[service]]
        name = "blocked"
        exec = ["/usr/bin/actor", "stay"]
        requires = ["failed"]
        milestone = false

        [[service]]
        name = "held"
        exec = ["/usr/bin/actor", "session=stay", "stay"]

        [[service]]
        name = "off"
        exec = ["/usr/bin/actor", "stay"]
        start = "on-demand"
        milestone = false
        "#,
    );
    for n in 0..50 {
        services += &format!("[[service]]\nname = \"s{n}\"\nexec = [\"/usr/bin/actor\", \"stay\"]\n");
    }
    services
}

fn setup(services: String) -> Setup {
    Setup {
        services,
        ours: &["logd"],
        memory_mib: 320,
        cmdline: "--- -z --unit=rescue 1",
        ..Setup::default()
    }
}

/// Has everybody in the state that lasts.
fn settle(pid1: &Pid1) {
    pid1.until("crashing", StateName::Backoff);
    pid1.until("task", StateName::Done);
    pid1.until("blocked", StateName::Blocked);
    pid1.until("logd", StateName::Ready);
    until("the fifty run", PATIENCE * 2, || {
        let services = pid1.services();
        let fifty = services.iter().filter(|service| service.name.starts_with('s') && service.name.len() < 4);
        fifty.clone().all(|service| service.state == StateName::Ready).then_some(())
    });
    pid1.order(Order::Hold("held".to_owned()));
    pid1.until("deaf", StateName::Ready);
    pid1.stop("deaf");
    pid1.until("deaf", StateName::Stopping);
}

/// What must be as before: of each service, and where its words go.
fn estate(pid1: &Pid1) -> Vec<(ServiceView, Option<PathBuf>, Vec<i32>)> {
    let whole = |service: ServiceView| {
        let output = service.pid.map(|pid| fs::read_link(format!("/proc/{pid}/fd/1")).unwrap());
        let members = look::members(&service.name);
        (service, output, members)
    };
    pid1.services().into_iter().map(whole).collect()
}

fn same(before: &[EventRecord], after: &[EventRecord]) {
    let kept: Vec<_> = after.iter().take(before.len()).collect();
    assert_eq!(kept, before.iter().collect::<Vec<_>>(), "the record is the same");
    assert!(after.windows(2).all(|pair| pair[1].number == pair[0].number + 1), "it has no gap");
}

/// What was pending comes when it was due.
fn pending_comes_in_time(pid1: &Pid1, began: &[EventRecord]) {
    meddle::touch("/run/go");
    for name in ["late", "by-line"] {
        let service = pid1.until(name, StateName::Ready);
        assert_eq!(service.starts, 1, "{name}");
    }
    pid1.until("deaf", StateName::Off);
    pid1.until("crashing", StateName::Ready);
    let events = pid1.events(0);
    let at = |name: &str, state| {
        let of = events.iter().filter(|event| event.service.as_deref() == Some(name));
        of.filter(|event| event.change.is_some_and(|(_, to)| to == state))
            .map(|event| event.at)
            .next_back()
            .unwrap()
    };
    let pause = at("crashing", StateName::Waiting) - at("crashing", StateName::Backoff);
    assert!((9600..20_000).contains(&pause), "paused {pause} ms");
    let patience = at("deaf", StateName::Killing) - at("deaf", StateName::Stopping);
    assert!((9000..16_000).contains(&patience), "killed after {patience} ms");
    same(began, &events);
}

/// S37.
fn a_reexec_changes_no_process_no_pause_no_deadline_and_no_record(boot: &Boot) {
    boot.machine_with(setup(services()), |pid1| {
        settle(pid1);
        thread::sleep(Duration::from_millis(300));
        let (before, record, mut descriptors) = (estate(pid1), pid1.events(0), 0);
        for times in 1..=5 {
            pid1.order(Order::Reexec);
            until("it has replaced itself", PATIENCE, || (pid1.own().reexecs == times).then_some(()));
            assert_eq!(estate(pid1), before, "{times}");
            same(&record, &pid1.events(0));
            if times == 1 {
                // It opens what it had not looked at before, once.
                thread::sleep(Duration::from_millis(300));
                descriptors = look::descriptors();
            }
        }
        assert_eq!(pid1.own().recoveries, 0);
        until("no descriptor is left over", PATIENCE, || (look::descriptors() <= descriptors).then_some(()));
        pending_comes_in_time(pid1, &record);
    });
}

/// S37, while services are killed and print.
fn a_reexec_under_load_loses_no_end_and_no_line(boot: &Boot) {
    const LINES: u64 = 3000;
    let services = format!(
        r#"
        [[service]]
        name = "talker"
        exec = ["/usr/bin/actor", "await=/run/go", "talk={LINES}:1"]
        ready = {{ by = "exit" }}

        [[service]]
        name = "victim"
        exec = ["/usr/bin/actor", "child=stay", "ready", "stay"]
        ready = {{ by = "notify" }}
        restart = {{ pause = "1ms", longest-pause = "1ms" }}

        [[service]]
        name = "storm"
        exec = ["/usr/bin/actor", "ready", "storm=100000:10"]
        ready = {{ by = "notify" }}
        sandbox = {{ privileged = true }}
        "#
    );
    boot.machine_with(setup(services), |pid1| {
        let mut pid = pid1.until("victim", StateName::Ready).pid.unwrap();
        pid1.until("logd", StateName::Ready);
        meddle::touch("/run/go");
        let mut kills = 0;
        while pid1.state("talker") != StateName::Done || kills < 10 {
            meddle::kill(pid);
            pid1.order(Order::Reexec);
            pid = pid1.until_another("victim", pid).pid.unwrap();
            kills += 1;
        }
        let (own, victim) = (pid1.own(), pid1.service("victim"));
        report(&format!("{kills} kills, {own:?}"));
        assert!(own.reexecs >= kills, "{own:?}");
        assert_eq!((own.recoveries, own.log_bytes_dropped), (0, 0));
        assert_eq!(victim.starts, kills + 1, "each end counts once");
        assert_eq!((pid1.service("talker").starts, pid1.service("storm").starts), (1, 1));
        until("every line is kept", PATIENCE, || {
            (logs::numbers("talker")? == (0..LINES).collect()).then_some(())
        });
        pid1.stop("storm");
        pid1.until("storm", StateName::Off);
        until("no zombie is left", PATIENCE, || look::zombies().is_empty().then_some(()));
    });
}

/// S37.
fn a_reexec_is_refused_while_a_step_runs_that_could_not_be_handed_over(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "stepping"
        exec = ["/usr/bin/actor", "stay"]
        before-start = [["/usr/bin/actor", "await=/run/go"]]
    "#;
    boot.machine(services, |pid1| {
        pid1.until("stepping", StateName::Preparing);
        let why = pid1.refused(Order::Reexec);
        assert!(why.contains("step"), "{why}");
        meddle::touch("/run/go");
        pid1.until("stepping", StateName::Ready);
        pid1.order(Order::Reexec);
        until("it has replaced itself", PATIENCE, || (pid1.own().reexecs == 1).then_some(()));
    });
}

/// S38.
fn a_pid1_that_faults_goes_on_with_what_it_supervises(boot: &Boot) {
    let ended = boot.machine_with(setup(services()), |pid1| {
        settle(pid1);
        let before = estate(pid1);
        for times in 1..=3 {
            meddle::smash_pid1();
            until("it goes on", PATIENCE, || (pid1.own().recoveries == times).then_some(()));
            assert_eq!(estate(pid1), before, "{times}");
        }
        meddle::touch("/run/go");
        for name in ["late", "by-line", "crashing"] {
            pid1.until(name, StateName::Ready);
        }
        pid1.until("deaf", StateName::Off);
        let pid = pid1.pid("s7");
        meddle::kill(pid);
        pid1.until_another("s7", pid);
    });
    assert_eq!(
        ended.console.matches("PID 1 goes on after a fault of its own").count(),
        3,
        "{}",
        ended.words()
    );
}

/// A machine with a service and a disk, which tells its second boot from the first.
fn machine_that_boots_twice(boot: &Boot, first: impl FnOnce(&Pid1)) -> Ended {
    let services = r#"
        [[service]]
        name = "store"
        exec = ["/usr/bin/actor", "stay"]
    "#;
    let setup = Setup { services: services.to_owned(), disks: vec![boot.disk("memory")], ..Setup::default() };
    boot.machine_with(setup, |pid1| {
        let disk = File::options().read(true).write(true).open("/dev/ubda").unwrap();
        let mut mark = [0; 512];
        disk.read_exact_at(&mut mark, 0).unwrap();
        if mark[0] == b'x' {
            // The second boot: this is well again.
            pid1.until("store", StateName::Ready);
            assert_eq!(pid1.own().recoveries, 0);
            return;
        }
        mark[0] = b'x';
        disk.write_all_at(&mark, 0).unwrap();
        disk.sync_all().unwrap();
        pid1.until("store", StateName::Ready);
        first(pid1);
    })
}

/// S38.
fn a_pid1_that_faults_again_and_again_ends_the_machine_in_order(boot: &Boot) {
    let ended = machine_that_boots_twice(boot, |pid1| {
        for times in 1..=3 {
            meddle::smash_pid1();
            until("it goes on", PATIENCE, || (pid1.own().recoveries == times).then_some(()));
        }
        report("three times");
        meddle::smash_and_wake_pid1();
    });
    let said = |text: &str| assert!(ended.console.contains(text), "{text}\n{}", ended.words());
    said("PID 1 has faulted too often");
    said("service store: stopped");
    said("machine: rebooting");
}

/// S38, for a fault that what was saved is the reason for: it comes again before PID 1 is back at work.
fn a_pid1_that_faults_again_before_it_goes_on_ends_the_machine_in_order(boot: &Boot) {
    let ended = machine_that_boots_twice(boot, |_| {
        // Where a successor reads its table it waits for a word of ours.
        let trap = meddle::Trap::lay("/usr/share/slipway/services.table");
        meddle::smash_pid1();
        let _ = client::Line::open(Path::new(CONTROL)).and_then(|line| line.say(&Request::Own));
        for times in 2..=5 {
            trap.until_pid1_is_in();
            report(&format!("fault {times}"));
            meddle::smash_pid1();
            trap.open();
        }
        trap.until_pid1_is_in();
        panic!("it would go on for ever");
    });
    let said = |text: &str| assert!(ended.console.contains(text), "{text}\n{}", ended.words());
    said("problem: preparing to supervise: PID 1 has faulted too often, and again while it ended");
    said("machine: rebooting");
    assert_eq!(ended.console.matches("machine: started").count(), 2, "{}", ended.words());
}
