//! When nobody is judged by its liveness: the clock was just set, or the CPU is short for all.
//!
//! What a judgement looks like is seen first, in the same machine and of the same service; then
//! that there is none.

use std::thread;
use std::time::{Duration, Instant};

use init::control::message::StateName;

use crate::ask::Pid1;
use crate::boot::Boot;
use crate::meddle;
use crate::{Scenario, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        who_is_silent_is_killed_but_not_while_the_clock_was_just_set,
        who_is_silent_is_not_killed_while_everybody_waits_for_the_cpu,
    ]
}

/// A service that says that it is ready and nothing more, and has to say more every second.
const MUTE: &str = r#"
    [[service]]
    name = "mute"
    exec = ["/usr/bin/actor", "ready", "stay"]
    ready = { by = "notify" }
    liveness = { every = "1s", failures = 1 }
    restart = { pause = "100ms", longest-pause = "200ms" }
    milestone = false
"#;
/// Long enough for several judgements.
const WHILE: Duration = Duration::from_secs(5);

fn was_judged(pid1: &Pid1) -> i32 {
    let first = pid1.until("mute", StateName::Ready).pid.unwrap();
    let second = pid1.until_another("mute", first).pid.unwrap();
    pid1.until_another("mute", second);
    pid1.until("mute", StateName::Ready).pid.unwrap()
}

fn who_is_silent_is_killed_but_not_while_the_clock_was_just_set(boot: &Boot) {
    boot.machine(MUTE, |pid1| {
        was_judged(pid1);
        meddle::shift_clock(1);
        let pid = pid1.until("mute", StateName::Ready).pid;
        thread::sleep(WHILE);
        assert_eq!(pid1.service("mute").pid, pid, "{}", pid1.knows());
    });
}

fn who_is_silent_is_not_killed_while_everybody_waits_for_the_cpu(boot: &Boot) {
    let greedy: String = (0..4)
        .map(|n| {
            format!("\n[[service]]\nname = \"greedy-{n}\"\nexec = [\"/usr/bin/actor\", \"await=/run/go\", \"spin\"]\nready = {{ by = \"exec\" }}\nmilestone = false\n")
        })
        .collect();
    boot.machine(&format!("{MUTE}{greedy}"), |pid1| {
        was_judged(pid1);
        meddle::touch("/run/go");
        // The kernel counts over two seconds before it tells.
        let began = Instant::now();
        let mut steady = (pid1.service("mute").pid, Instant::now());
        while steady.1.elapsed() < WHILE {
            assert!(began.elapsed() < WHILE * 12, "it is judged all the time: {}", pid1.knows());
            thread::sleep(Duration::from_millis(100));
            let pid = pid1.service("mute").pid;
            if pid != steady.0 {
                steady = (pid, Instant::now());
            }
        }
    });
}
