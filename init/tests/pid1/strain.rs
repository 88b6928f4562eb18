//! PID 1 and its judgement while there is little time: the clock was just set, the CPU is short for all, everybody
//! wants something at once.
//!
//! What a judgement looks like is seen first, in the same machine and of the same service; then
//! that there is none. How long PID 1's turns take is what it counts itself.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use init::control::CONTROL;
use init::control::message::{PACKET_MAX, Request, StateName};
use node_sys::packet::{Connection, Received, Sent};

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::inside::report;
use crate::meddle;
use crate::{Scenario, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        who_is_silent_is_killed_but_not_while_the_clock_was_just_set,
        who_is_silent_is_not_killed_while_everybody_waits_for_the_cpu,
        no_turn_is_slow_with_a_hundred_services_a_hundred_clients_and_a_storm_of_ends,
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
    // Two that want all of one CPU and get least: they wait, and everybody else works on.
    let greedy: String = ["one", "other"]
        .map(|name| {
            format!(
                r#"
                [[service]]
                name = "greedy-{name}"
                exec = ["/usr/bin/actor", "await=/run/go", "spin"]
                ready = {{ by = "exec" }}
                milestone = false
                limits = {{ cpu-weight = 1 }}
                "#
            )
        })
        .concat();
    boot.machine(&format!("{MUTE}{greedy}"), |pid1| {
        was_judged(pid1);
        meddle::touch("/run/go");
        // The kernel counts over two seconds before it tells.
        let began = Instant::now();
        let mut steady = (pid1.service("mute").pid, Instant::now());
        while steady.1.elapsed() < WHILE {
            let pressure = || std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
            assert!(began.elapsed() < WHILE * 6, "judged all the time: {}{}", pressure(), pid1.knows());
            thread::sleep(Duration::from_millis(100));
            let pid = pid1.service("mute").pid;
            if pid != steady.0 {
                steady = (pid, Instant::now());
            }
        }
    });
}

/// How long turns are watched at a time, and how often at most: the host has other work, and whatever PID 1 is in the
/// middle of then takes as long as that. What PID 1 itself does slowly, it does slowly every time.
const WINDOW: Duration = Duration::from_secs(2);
const WINDOWS: usize = 20;
/// What makes a window count, a second: User-mode Linux makes some hundreds of processes, where the bench's storm has
/// two thousand.
const ENDS: u64 = 100;
const ANSWERS: u64 = 100;

fn no_turn_is_slow_with_a_hundred_services_a_hundred_clients_and_a_storm_of_ends(boot: &Boot) {
    let mut services: String = (0..100)
        .map(|n| format!("[[service]]\nname = \"s{n}\"\nexec = [\"/usr/bin/actor\", \"stay\"]\n"))
        .collect();
    services += r#"
        [[service]]
        name = "storm"
        exec = ["/usr/bin/actor", "await=/run/go", "storm=1000000:20"]
        sandbox = { privileged = true }
    "#;
    boot.machine_with(Setup { services, memory_mib: 512, ..Setup::default() }, |pid1| {
        until("the machine is up", PATIENCE * 2, || pid1.own().up);
        let clients: Vec<Connection> =
            (0..100).map(|_| Connection::connect(Path::new(CONTROL)).unwrap()).collect();
        clients.iter().for_each(|client| client.set_patience(PATIENCE).unwrap());
        let requests = [
            Request::Services,
            Request::Explain("s50".to_owned()),
            Request::Events { since: 0, most: 20 },
            Request::Own,
        ];
        let requests = requests.map(|request| request.encode().unwrap());
        let mut buffer = vec![0; PACKET_MAX];
        meddle::touch("/run/go");
        let undisturbed = (0..WINDOWS).any(|_| {
            let (before, began, mut answers) = (pid1.own(), Instant::now(), 0);
            while began.elapsed() < WINDOW {
                // All at once, so that a turn of PID 1's finds them all.
                for (client, request) in clients.iter().zip(requests.iter().cycle()) {
                    assert_eq!(client.send(request, &[]).unwrap(), Sent::Whole);
                }
                for client in &clients {
                    let answer = client.receive(&mut buffer).unwrap();
                    assert!(matches!(answer, Received::Packet(..)), "{answer:?}");
                    answers += 1;
                }
            }
            let after = pid1.own();
            let (ends, slow) = (after.reaped - before.reaped, after.slow_turns - before.slow_turns);
            let turns = after.turns - before.turns;
            report(&format!("{ends} ends, {answers} answers, {slow} of {turns} turns slow"));
            ends >= ENDS * WINDOW.as_secs() && answers >= ANSWERS * WINDOW.as_secs() && slow == 0
        });
        assert!(undisturbed, "{:?}", pid1.own());
    });
}
