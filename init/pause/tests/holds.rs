//! The pause program as the runtime uses it: it waits, it ends when it is told to, it reaps.
//!
//! The reaping needs it to be pid 1, so that test asks for a pid namespace and says so where the
//! host has none to give.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PAUSE: &str = env!("CARGO_BIN_EXE_pause");

fn send(signal: &str, pid: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap();
    assert!(sent.success());
}

/// Waits until the process sleeps in its only system call.
fn settled(child: &Child) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let stat = format!("/proc/{}/stat", child.id());
    while Instant::now() < deadline {
        let text = fs::read_to_string(&stat).unwrap();
        let blocked = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let listens =
            blocked.lines().any(|line| line.starts_with("SigBlk:") && !line.ends_with("0000000000000000"));
        if text.contains("(pause) S") && listens {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it never came to rest");
}

#[test]
fn sigterm_and_sigint_end_it_well() {
    for signal in ["TERM", "INT"] {
        let mut child = Command::new(PAUSE).spawn().unwrap();
        settled(&child);
        send(signal, child.id());
        assert!(child.wait().unwrap().success(), "after SIG{signal}");
    }
}

#[test]
fn as_pid_1_it_reaps_orphans() {
    // pause becomes pid 1 of a namespace that already holds an orphan which ends a little later.
    let script = format!("(sleep 0.2; exit 7) & exec {PAUSE}");
    let mut child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1000));
    if child.try_wait().unwrap().is_some() {
        let _ = writeln!(std::io::stdout(), "\nSKIPPED: this host has no user namespaces to give");
        return;
    }
    let zombies = zombies_below(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(zombies, Vec::<String>::new());
}

/// Ended and unreaped grandchildren of a process.
fn zombies_below(pid: u32) -> Vec<String> {
    let children = |pid: &str| {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let firsts = children(&pid.to_string());
    assert_eq!(firsts.len(), 1, "pause is running");
    let stats = firsts
        .iter()
        .flat_map(|pid| children(pid))
        .map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")));
    stats.filter_map(Result::ok).filter(|stat| stat.contains(") Z ")).collect()
}
