//! Needs between services that run (S1, S2, S7): who is pulled in, who goes first.
//!
//! All rules are tested in the core; here their order is seen in the record of a machine whose services
//! are processes and take time to end.

use init::control::message::{Order, StateName};

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::{Scenario, look, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        what_a_service_needs_runs_before_it_and_is_released_after_it,
        a_need_is_signalled_only_when_its_dependents_are_gone,
        a_need_behind_a_task_that_is_done_is_stopped_after_those_who_need_that,
        the_keeper_of_the_logs_is_not_stopped_by_an_order,
        a_held_process_outlives_the_stop_until_it_is_released,
    ]
}

/// The number of the event by which a service got into a state for the first time since `since`.
fn reached(pid1: &Pid1, name: &str, state: StateName, since: u64) -> u64 {
    let events = pid1.events(since);
    let found = events.iter().find(|event| {
        event.service.as_deref() == Some(name) && event.change.is_some_and(|(_, to)| to == state)
    });
    found.unwrap_or_else(|| panic!("{name} was never {state:?} since {since}")).number
}

/// S1.
fn what_a_service_needs_runs_before_it_and_is_released_after_it(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "store"
        exec = ["/usr/bin/actor", "sleep=200", "ready", "stay"]
        ready = { by = "notify" }
        start = "on-demand"
        milestone = false

        [[service]]
        name = "server"
        exec = ["/usr/bin/actor", "ready", "stay"]
        ready = { by = "notify" }
        requires = ["store"]
        start = "on-demand"
        milestone = false
    "#;
    boot.machine(services, |pid1| {
        assert_eq!((pid1.state("store"), pid1.state("server")), (StateName::Off, StateName::Off));
        let since = pid1.start("server");
        pid1.until("server", StateName::Ready);
        assert_eq!(pid1.state("store"), StateName::Ready);
        let store = reached(pid1, "store", StateName::Ready, since);
        assert!(store < reached(pid1, "server", StateName::Starting, since));
        let pids = [pid1.pid("store"), pid1.pid("server")];
        let since = pid1.stop("server");
        pid1.until("store", StateName::Off);
        assert_eq!(pid1.state("server"), StateName::Off);
        let server = reached(pid1, "server", StateName::Off, since);
        assert!(server < reached(pid1, "store", StateName::Stopping, since));
        assert_eq!(pids.map(look::process), [None, None]);
    });
}

/// S2.
fn a_need_is_signalled_only_when_its_dependents_are_gone(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "store"
        exec = ["/usr/bin/actor", "stay"]

        [[service]]
        name = "server"
        exec = ["/usr/bin/actor", "ignore-term", "ready", "stay"]
        ready = { by = "notify" }
        requires = ["store"]
        stop = { timeout = "700ms" }

        [[service]]
        name = "proxy"
        exec = ["/usr/bin/actor", "ignore-term", "ready", "stay"]
        ready = { by = "notify" }
        requires = ["server"]
        stop = { timeout = "700ms" }
    "#;
    boot.machine(services, |pid1| {
        pid1.until("proxy", StateName::Ready);
        let why = pid1.refused(Order::Stop { service: "store".to_owned(), cascade: false });
        assert!(why.contains("server") && why.contains("proxy"), "{why}");
        let since = pid1.order(Order::Stop { service: "store".to_owned(), cascade: true });
        pid1.until("store", StateName::Off);
        for (dependent, need) in [("proxy", "server"), ("server", "store")] {
            let gone = reached(pid1, dependent, StateName::Off, since);
            let signalled = reached(pid1, need, StateName::Stopping, since);
            assert!(gone < signalled, "{dependent} {gone}, {need} {signalled}");
        }
    });
}

/// As the images' services need the network: through a task that only waited for something.
fn a_need_behind_a_task_that_is_done_is_stopped_after_those_who_need_that(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "network"
        exec = ["/usr/bin/actor", "stay"]

        [[service]]
        name = "wait"
        exec = ["/usr/bin/actor"]
        ready = { by = "exit" }
        milestones = ["network"]

        [[service]]
        name = "server"
        exec = ["/usr/bin/actor", "ignore-term", "ready", "stay"]
        ready = { by = "notify" }
        milestones = ["wait"]
        stop = { timeout = "700ms" }
    "#;
    let ended = boot.machine(services, |pid1| {
        pid1.until("server", StateName::Ready);
        assert_eq!(pid1.state("wait"), StateName::Done);
    });
    let line = |text: &str| {
        let mut lines = ended.console.lines();
        lines.position(|line| line.ends_with(text)).unwrap_or_else(|| panic!("{text}\n{}", ended.words()))
    };
    assert!(line("service server: stopped") < line("service network: stopped"), "{}", ended.words());
}

/// Whoever gives such an order by mistake is told what it may have meant.
fn the_keeper_of_the_logs_is_not_stopped_by_an_order(boot: &Boot) {
    let setup = Setup { ours: &["logd"], ..Setup::default() };
    boot.machine_with(setup, |pid1| {
        let pid = pid1.until("logd", StateName::Ready).pid;
        let why = pid1.refused(Order::Stop { service: "logd".to_owned(), cascade: true });
        assert!(why.contains("restart it instead"), "{why}");
        assert_eq!(pid1.service("logd").pid, pid);
        pid1.restart("logd");
        pid1.until_another("logd", pid.unwrap());
    });
}

/// S7.
fn a_held_process_outlives_the_stop_until_it_is_released(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "held"
        exec = ["/usr/bin/actor", "stay"]
    "#;
    boot.machine(services, |pid1| {
        let pid = pid1.until("held", StateName::Ready).pid.unwrap();
        pid1.order(Order::Hold("held".to_owned()));
        pid1.stop("held");
        std::thread::sleep(std::time::Duration::from_millis(500));
        let held = pid1.service("held");
        assert_eq!((held.state, held.pid, held.held), (StateName::Ready, Some(pid), true));
        pid1.order(Order::Release("held".to_owned()));
        pid1.until("held", StateName::Off);
        until("its process is gone", PATIENCE, || look::process(pid).is_none().then_some(()));
    });
}
