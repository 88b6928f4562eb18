//! Processes that end, do not end, or leave others behind (S13 to S24).
//!
//! What the core decides about them is in its own tests; here real processes are killed, and /proc and
//! the control groups must agree with what PID 1 says.

use std::time::{Duration, Instant};

use init::control::message::StateName;

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::Boot;
use crate::{Scenario, look, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        a_killed_service_is_back_as_another_process,
        a_program_that_is_not_there_fails_with_the_kernels_words_and_leaves_no_zombie,
        who_ignores_term_is_killed_at_its_timeout_and_not_before,
        what_a_service_left_in_other_sessions_is_gone_when_it_counts_as_stopped,
    ]
}

fn kill(pid: i32) {
    node_sys::signal::kill(pid, || true).unwrap();
}

/// S13.
fn a_killed_service_is_back_as_another_process(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "worker"
        exec = ["/usr/bin/actor", "ready", "stay"]
        ready = { by = "notify" }
    "#;
    boot.machine(services, |pid1: &Pid1| {
        let before = pid1.until("worker", StateName::Ready);
        let pid = before.pid.unwrap();
        kill(pid);
        let after = pid1.until_another("worker", pid);
        assert_eq!(after.starts, before.starts + 1);
        assert_eq!(after.last_end.as_deref().map(|end| end.starts_with("killed by signal 9")), Some(true));
        assert_eq!(look::members("worker"), [after.pid.unwrap()]);
        assert_eq!(look::process(pid), None, "it was reaped");
    });
}

/// S16.
fn a_program_that_is_not_there_fails_with_the_kernels_words_and_leaves_no_zombie(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "missing"
        exec = ["/usr/bin/nobody-made-this"]
        milestone = false
        restart = { pause = "100ms" }

        [[service]]
        name = "denied"
        exec = ["/usr/share/slipway/image.toml"]
        milestone = false
        ready = { by = "exit" }
        restart = { pause = "100ms", attempts = 2 }

        [[service]]
        name = "dependent"
        exec = ["/usr/bin/actor", "stay"]
        requires = ["denied"]
        milestone = false
    "#;
    boot.machine(services, |pid1| {
        let missing = until("missing has been tried three times", PATIENCE, || {
            Some(pid1.service("missing")).filter(|service| service.failures >= 3)
        });
        let words = missing.last_end.unwrap();
        assert!(words.contains("executing the program: No such file or directory"), "{words}");
        let denied = pid1.until("denied", StateName::Failed);
        let words = denied.last_end.unwrap();
        assert!(words.contains("executing the program: Permission denied"), "{words}");
        pid1.until("dependent", StateName::Blocked);
        let explained = pid1.explain("dependent").join("\n");
        assert!(explained.contains("denied"), "{explained}");
        assert_eq!(pid1.service("dependent").starts, 0);
        pid1.stop("missing");
        pid1.until("missing", StateName::Off);
        until("no zombie is left", PATIENCE, || look::zombies().is_empty().then_some(()));
        assert!(!look::group("missing").exists());
    });
}

/// S17.
fn who_ignores_term_is_killed_at_its_timeout_and_not_before(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "deaf"
        exec = ["/usr/bin/actor", "ignore-term", "ready", "stay"]
        ready = { by = "notify" }
        stop = { timeout = "1500ms" }
    "#;
    boot.machine(services, |pid1| {
        let pid = pid1.until("deaf", StateName::Ready).pid.unwrap();
        let since = pid1.stop("deaf");
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_millis(1200) {
            assert_eq!(pid1.service("deaf").pid, Some(pid), "it still has time");
            std::thread::sleep(Duration::from_millis(50));
        }
        pid1.until("deaf", StateName::Off);
        assert_eq!(look::process(pid), None);
        let path = pid1.path("deaf", since);
        assert_eq!(path, [StateName::Stopping, StateName::Killing, StateName::Cleaning, StateName::Off]);
        // From the record, not from when this was noticed: ± 100 ms on an idle machine.
        let events = pid1.events(since);
        let at = |state| {
            let found = events.iter().find(|event| {
                event.service.as_deref() == Some("deaf") && event.change.is_some_and(|(_, to)| to == state)
            });
            found.unwrap().at
        };
        let took = at(StateName::Killing) - at(StateName::Stopping);
        assert!((1500..2500).contains(&took), "killed after {took} ms");
    });
}

/// S19.
fn what_a_service_left_in_other_sessions_is_gone_when_it_counts_as_stopped(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "parent"
        exec = ["/usr/bin/actor", "child=ignore-term+stay", "session=ignore-term+stay",
                "orphan=ignore-term+child=ignore-term,stay+stay", "sleep=300", "ready", "stay"]
        ready = { by = "notify" }
    "#;
    boot.machine(services, |pid1| {
        pid1.until("parent", StateName::Ready);
        let members = until("all five are there", PATIENCE, || {
            Some(look::members("parent")).filter(|members| members.len() == 5)
        });
        let orphaned = members.iter().filter(|pid| look::process(**pid).unwrap().parent == 1).count();
        assert_eq!(orphaned, 2, "the main process, and the orphan");
        pid1.stop("parent");
        // At the very moment that it counts as stopped.
        pid1.until("parent", StateName::Off);
        for pid in members {
            let left = look::process(pid);
            assert!(left.as_ref().is_none_or(|process| process.state == 'Z'), "{left:?}");
        }
        assert!(!look::group("parent").exists());
        until("no zombie is left", PATIENCE, || look::zombies().is_empty().then_some(()));
    });
}
