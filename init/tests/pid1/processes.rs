//! Processes that end, do not end, or leave others behind (S13 to S24).
//!
//! What the core decides about them is in its own tests; here real processes are killed, and /proc and
//! the control groups must agree with what PID 1 says.

use std::path::Path;
use std::time::{Duration, Instant};

use init::control::message::StateName;

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::meddle::{self, Frozen};
use crate::{Scenario, look, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        a_killed_service_is_back_as_another_process,
        a_program_that_is_not_there_fails_with_the_kernels_words_and_leaves_no_zombie,
        who_ignores_term_is_killed_at_its_timeout_and_not_before,
        what_a_service_left_in_other_sessions_is_gone_when_it_counts_as_stopped,
        what_a_service_left_in_other_sessions_is_asked_to_end_before_it_is_killed,
        what_its_main_process_leaves_behind_counts_by_the_exit_rule,
        who_has_itself_restarted_in_the_middle_of_the_call_is_restarted_once,
        a_task_that_was_given_up_gets_a_fresh_budget_from_whoever_starts_it,
        a_stop_during_a_pause_leaves_nothing_that_could_start_later,
        a_kill_for_memory_takes_all_of_a_service_or_stops_it_or_means_nothing_by_its_policy,
        no_end_is_missed_when_the_main_process_and_its_children_end_at_once,
    ]
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
        meddle::kill(pid);
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
        stop = { timeout = "1s" }
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

/// S19: the one in another session is no child of the main process any more, and is asked all the same.
fn what_a_service_left_in_other_sessions_is_asked_to_end_before_it_is_killed(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "parent"
        exec = ["/usr/bin/actor", "session=ignore-term+touch=/run/there+until-term+sleep=300+touch=/run/tidied+stay",
                "await=/run/there", "ready", "stay"]
        ready = { by = "notify" }
        stop = { timeout = "2s" }
    "#;
    boot.machine(services, |pid1| {
        pid1.until("parent", StateName::Ready);
        let since = pid1.stop("parent");
        until("the helper has tidied up", PATIENCE, || Path::new("/run/tidied").exists().then_some(()));
        // And then it stays, which nobody may.
        pid1.until("parent", StateName::Off);
        let path = pid1.path("parent", since);
        assert_eq!(path, [StateName::Stopping, StateName::Killing, StateName::Cleaning, StateName::Off]);
        assert!(look::members("parent").is_empty());
    });
}

/// S20.
fn what_its_main_process_leaves_behind_counts_by_the_exit_rule(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "by-main"
        exec = ["/usr/bin/actor", "session=stay", "await=/run/exit", "exit=0"]
        restart = { pause = "1min" }

        [[service]]
        name = "by-last"
        exec = ["/usr/bin/actor", "session=stay", "await=/run/exit", "exit=0"]
        restart = { pause = "1min", exit = "last" }
    "#;
    boot.machine(services, |pid1| {
        for name in ["by-main", "by-last"] {
            until("its helper is there", PATIENCE, || (look::members(name).len() == 2).then_some(()));
        }
        meddle::touch("/run/exit");
        pid1.until("by-main", StateName::Backoff);
        assert!(!look::group("by-main").exists(), "its helper went with it");
        let helper = until("only its helper is left", PATIENCE, || {
            <[i32; 1]>::try_from(look::members("by-last")).ok()
        });
        assert_eq!(pid1.state("by-last"), StateName::Ready);
        meddle::kill(helper[0]);
        let by_last = pid1.until("by-last", StateName::Backoff);
        assert!(by_last.last_end.unwrap().starts_with("exited with status 0"));
    });
}

/// S21.
fn who_has_itself_restarted_in_the_middle_of_the_call_is_restarted_once(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "selfish"
        exec = ["/usr/bin/actor", "ready", "first=/run/asked", "restart=selfish", "stay"]
        ready = { by = "notify" }
    "#;
    boot.machine(services, |pid1| {
        until("selfish is ready for the second time", PATIENCE, || {
            let selfish = pid1.service("selfish");
            (selfish.starts == 2 && selfish.state == StateName::Ready).then_some(())
        });
        std::thread::sleep(Duration::from_secs(1));
        let selfish = pid1.service("selfish");
        assert_eq!((selfish.starts, selfish.state, selfish.failures), (2, StateName::Ready, 0));
    });
}

/// S14.
fn a_task_that_was_given_up_gets_a_fresh_budget_from_whoever_starts_it(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "task"
        exec = ["/usr/bin/actor", "unless=/run/mended:3"]
        ready = { by = "exit" }
        restart = { pause = "50ms", attempts = 3 }
        milestone = false
    "#;
    boot.machine(services, |pid1| {
        assert_eq!(pid1.until("task", StateName::Failed).starts, 3);
        pid1.start("task");
        until("it was tried three times more", PATIENCE, || {
            let task = pid1.service("task");
            (task.starts == 6 && task.state == StateName::Failed).then_some(())
        });
        meddle::touch("/run/mended");
        pid1.start("task");
        assert_eq!(pid1.until("task", StateName::Done).starts, 7);
    });
}

/// S15.
fn a_stop_during_a_pause_leaves_nothing_that_could_start_later(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "crashing"
        exec = ["/usr/bin/actor", "exit=1"]
        restart = { pause = "2s" }
        milestone = false
    "#;
    boot.machine(services, |pid1| {
        let crashing = pid1.until("crashing", StateName::Backoff);
        let since = pid1.stop("crashing");
        pid1.until("crashing", StateName::Off);
        std::thread::sleep(Duration::from_secs(4));
        let after = pid1.service("crashing");
        assert_eq!((after.state, after.pid, after.starts), (StateName::Off, None, crashing.starts));
        assert_eq!(pid1.path("crashing", since), [StateName::Off]);
    });
}

/// S23.
fn a_kill_for_memory_takes_all_of_a_service_or_stops_it_or_means_nothing_by_its_policy(boot: &Boot) {
    let service = |policy: &str| {
        format!(
            r#"
            [[service]]
            name = "{policy}"
            exec = ["/usr/bin/actor", "first=/run/{policy}", "await=/run/eat", "child=eat=200+stay", "stay"]
            oom-policy = "{policy}"
            limits = {{ memory-max-mib = 32 }}
            "#
        )
    };
    let setup = Setup {
        services: ["kill", "stop", "continue"].map(service).concat(),
        memory_mib: 320,
        ..Setup::default()
    };
    boot.machine_with(setup, |pid1| {
        let before = ["kill", "stop", "continue"].map(|name| pid1.until(name, StateName::Ready).pid.unwrap());
        meddle::touch("/run/eat");
        for (name, pid) in ["kill", "stop"].into_iter().zip(before) {
            let after = pid1.until_another(name, pid);
            assert_eq!(after.starts, 2, "{name}");
        }
        // By the kernel, or by PID 1 if it heard of it before all were dead.
        let end = pid1.service("kill").last_end.unwrap();
        assert!(end.starts_with("killed by signal 9") || end.contains("out of memory"), "{end}");
        let end = pid1.service("stop").last_end.unwrap();
        assert!(end.contains("out of memory"), "{end}");
        until("the third one's child is gone, too", PATIENCE, || {
            let mut kills =
                pid1.events(0).into_iter().filter(|event| event.cause == "a process was killed for memory");
            kills.find(|event| event.service.as_deref() == Some("continue"))
        });
        let third = pid1.service("continue");
        assert_eq!((third.pid, third.starts, third.state), (Some(before[2]), 1, StateName::Ready));
        assert_eq!(look::members("continue"), [before[2]]);
    });
}

/// S24, each round with all ends in one turn of PID 1, which is held meanwhile. So many rounds and not 10⁵ because no
/// more than 20 starts a second are made; the other half is `an_orphan_storm_leaves_no_zombie`.
fn no_end_is_missed_when_the_main_process_and_its_children_end_at_once(boot: &Boot) {
    const ROUNDS: u32 = 60;
    let services = r#"
        [[service]]
        name = "family"
        exec = ["/usr/bin/actor", "child=stay", "session=stay", "orphan=child=stay+stay", "ready", "stay"]
        ready = { by = "notify" }
        restart = { pause = "1ms", longest-pause = "1ms" }
    "#;
    boot.machine(services, |pid1| {
        let mut pid = pid1.until("family", StateName::Ready).pid.unwrap();
        let reaped = pid1.own().reaped;
        for round in 0..ROUNDS {
            let members = until("all are there", PATIENCE, || {
                Some(look::members("family")).filter(|members| members.len() == 5)
            });
            let frozen = Frozen::pid1();
            // The main process first, last and in between.
            let first = usize::try_from(round).unwrap() % members.len();
            members.iter().cycle().skip(first).take(members.len()).for_each(|pid| meddle::kill(*pid));
            until("all are dead", PATIENCE, || {
                let dead = |pid: &i32| look::process(*pid).is_none_or(|process| process.state == 'Z');
                members.iter().all(dead).then_some(())
            });
            drop(frozen);
            let family = pid1.until_another("family", pid);
            assert_eq!((family.starts, pid1.state("family")), (round + 2, StateName::Ready));
            pid = family.pid.unwrap();
        }
        // Five, and the parent that an orphan loses.
        assert!(pid1.own().reaped - reaped >= u64::from(ROUNDS) * 5, "{:?}", pid1.own());
        assert!(look::zombies().is_empty());
    });
}
