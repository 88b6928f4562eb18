//! How services tell that they are ready, and who may tell it (S25 to S29).
//!
//! The real notify socket with real senders: what the kernel says of a sender at the moment that its
//! message is read decides whose word it is.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use init::control::message::StateName;
use node_sys::spawn::Spawn;

use crate::ask::{PATIENCE, until};
use crate::boot::Boot;
use crate::meddle::{self, Frozen};
use crate::{Scenario, actor, look, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        who_is_never_ready_is_killed_in_the_end_and_those_who_want_it_start_without_it,
        who_exits_before_it_is_ready_has_failed_whatever_its_status,
        an_extension_gives_time_and_silence_after_it_is_a_failure,
        who_dies_while_it_reloads_is_started_again,
        a_grandchild_in_another_session_may_say_that_its_service_is_ready,
        nobody_of_another_group_may_say_that_a_service_is_ready,
        the_last_words_of_a_process_are_not_those_of_the_next_with_its_number,
    ]
}

/// S25.
fn who_is_never_ready_is_killed_in_the_end_and_those_who_want_it_start_without_it(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "silent"
        exec = ["/usr/bin/actor", "ignore-term", "stay"]
        ready = { by = "notify" }
        start-timeout = "1s"
        stop = { timeout = "500ms" }
        restart = { pause = "1min" }
        milestone = false

        [[service]]
        name = "hopeful"
        exec = ["/usr/bin/actor", "stay"]
        wants = ["silent"]
    "#;
    boot.machine(services, |pid1| {
        let silent = pid1.until("silent", StateName::Backoff);
        assert!(silent.last_end.as_ref().unwrap().contains("not ready in time"), "{silent:?}");
        assert_eq!((silent.pid, silent.failures), (None, 1));
        let path = pid1.path("silent", 0);
        let expected = [StateName::Starting, StateName::Stopping, StateName::Killing, StateName::Cleaning];
        assert!(path.windows(4).any(|window| window == expected), "{path:?}");
        pid1.until("hopeful", StateName::Ready);
    });
}

/// S26.
fn who_exits_before_it_is_ready_has_failed_whatever_its_status(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "hasty"
        exec = ["/usr/bin/actor", "exit=0"]
        ready = { by = "notify" }
        restart = { pause = "1min" }
        milestone = false
    "#;
    boot.machine(services, |pid1| {
        let hasty = pid1.until("hasty", StateName::Backoff);
        assert_eq!(hasty.failures, 1);
        assert!(hasty.last_end.as_ref().unwrap().starts_with("exited with status 0"), "{hasty:?}");
    });
}

/// S27.
fn an_extension_gives_time_and_silence_after_it_is_a_failure(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "slow"
        exec = ["/usr/bin/actor", "tell=EXTEND_TIMEOUT_USEC=30000000", "sleep=2500", "ready", "stay"]
        ready = { by = "notify" }
        start-timeout = "1s"

        [[service]]
        name = "silent"
        exec = ["/usr/bin/actor", "tell=EXTEND_TIMEOUT_USEC=1500000", "stay"]
        ready = { by = "notify" }
        start-timeout = "1s"
        restart = { pause = "1min" }
        milestone = false
    "#;
    boot.machine(services, |pid1| {
        let slow = pid1.until("slow", StateName::Ready);
        assert_eq!((slow.starts, slow.failures), (1, 0));
        let silent = pid1.until("silent", StateName::Backoff);
        assert_eq!((silent.starts, silent.failures), (1, 1));
    });
}

/// S28.
fn who_dies_while_it_reloads_is_started_again(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "reloader"
        exec = ["/usr/bin/actor", "ready", "first=/run/died", "await=/run/reload", "tell=RELOADING=1", "sleep=500", "abort"]
        ready = { by = "notify" }
        reload = { by = "signal", signal = "hup" }
    "#;
    boot.machine(services, |pid1| {
        let pid = pid1.until("reloader", StateName::Ready).pid.unwrap();
        meddle::touch("/run/reload");
        pid1.until("reloader", StateName::Reloading);
        let after = pid1.until_another("reloader", pid);
        assert_eq!(after.starts, 2);
        assert!(after.last_end.as_ref().unwrap().starts_with("killed by signal 6"), "{after:?}");
    });
}

/// S29.
fn a_grandchild_in_another_session_may_say_that_its_service_is_ready(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "family"
        exec = ["/usr/bin/actor", "orphan=await=/run/go+ready+stay", "stay"]
        ready = { by = "notify" }
        milestone = false
    "#;
    boot.machine(services, |pid1| {
        pid1.until("family", StateName::Starting);
        meddle::touch("/run/go");
        pid1.until("family", StateName::Ready);
    });
}

/// A service that waits to be said ready, by others only.
const WAITING: &str = r#"
    [[service]]
    name = "waiting"
    exec = ["/usr/bin/actor", "stay"]
    ready = { by = "notify" }
    milestone = false
"#;

/// S29.
fn nobody_of_another_group_may_say_that_a_service_is_ready(boot: &Boot) {
    boot.machine(WAITING, |pid1| {
        let pid = pid1.until("waiting", StateName::Starting).pid.unwrap();
        // Of another service.
        actor::tell("READY=1\nMAINPID=1\nSTATUS=problem: none");
        // Of no service: a group beside them, and such whose path only begins like the service's.
        let own = look::group("scenario").join("cgroup.procs");
        for name in ["stranger", "slipway/waiting-too", "slipway/waiting.x"] {
            let group = meddle::group(name);
            fs::write(group.join("cgroup.procs"), std::process::id().to_string()).unwrap();
            let child = Command::new("/usr/bin/actor").arg("ready").status().unwrap();
            assert!(child.success());
            fs::write(&own, std::process::id().to_string()).unwrap();
        }
        // Who is gone when it is read.
        let frozen = Frozen::pid1();
        let status = Command::new("/usr/bin/actor").arg("ready").status().unwrap();
        assert!(status.success());
        drop(frozen);
        // Bytes that are no message.
        for bytes in [&b"\xff\xfe"[..], b"", &[b'x'; 8000]] {
            let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
            socket.send_to(bytes, "/run/slipway/notify").unwrap();
        }
        thread::sleep(Duration::from_millis(500));
        let waiting = pid1.service("waiting");
        assert_eq!((waiting.state, waiting.pid, waiting.starts), (StateName::Starting, Some(pid), 1));
        assert_eq!(waiting.status, None);
    });
}

/// S29, with the number come again: PID 1 reads the message when its sender's number is another's already.
fn the_last_words_of_a_process_are_not_those_of_the_next_with_its_number(boot: &Boot) {
    boot.machine(WAITING, |pid1| {
        pid1.until("waiting", StateName::Starting);
        let group = File::open(look::group("waiting")).unwrap();
        let out = File::options().write(true).open("/dev/null").unwrap();
        until("a number comes again", PATIENCE, || {
            let frozen = Frozen::pid1();
            let mut speaker = Command::new("/usr/bin/actor").arg("ready").spawn().unwrap();
            let number = i32::try_from(speaker.id()).unwrap();
            assert!(speaker.wait().unwrap().success());
            meddle::last_pid_was(number - 1);
            let innocent = Spawn {
                command: &["/usr/bin/actor".to_owned(), "stay".to_owned()],
                environment: &[],
                output: out.as_fd(),
                cgroup: Some(group.as_fd()),
                user: None,
                groups: &[],
                fence: None,
                extra: None,
                open_files: None,
                oom_score_adjust: 0,
            };
            let innocent = innocent.start().unwrap();
            drop(frozen);
            (innocent.pid.as_raw() == number).then_some(())
        });
        thread::sleep(Duration::from_millis(500));
        assert_eq!(pid1.state("waiting"), StateName::Starting);
    });
}
