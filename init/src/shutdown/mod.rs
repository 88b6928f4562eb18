//! The machine's end: everything killed, everything unmounted, then reboot or power off.
//!
//! Services have been stopped in order before ([`crate::service::set`]); what is left here
//! has had its chance. Each step has its own deadline, and there is exactly one way out.
//! Unmounting and syncing may hang in the kernel, so a child does that (`unmount`).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub(crate) mod mounts;
pub mod unmount;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use node_sys::{power, process};

use crate::cgroup;
use crate::console::{Console, Subject};
use crate::control::message::Ending;
use crate::monotonic::Monotonic;

/// How long killed processes may take to be gone.
const KILL_WITHIN: Duration = Duration::from_secs(5);
/// How long unmounting and syncing may take.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(10);
/// How long the console may take for its last lines.
const CONSOLE_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks; nothing else is going on any more.
const LOOK: Duration = Duration::from_millis(5);

/// Ends the machine. Comes back only when the kernel refuses; then PID 1 ends, which it does not survive.
pub fn finish(mut console: Console, ending: Ending) {
    kill_everything(&mut console);
    unmount_everything(&mut console);
    let words = match ending {
        Ending::Reboot => "rebooting",
        Ending::PowerOff => "powering off",
    };
    console.say(Monotonic::now(), Subject::Machine, words);
    within(CONSOLE_WITHIN, || {
        console.flush();
        !console.is_behind()
    });
    let refused = match ending {
        Ending::Reboot => power::restart(),
        Ending::PowerOff => power::power_off(),
    };
    if let Err(error) = refused {
        console.say(Monotonic::now(), Subject::Machine, &format!("problem: {ending}: {error}"));
    }
}

fn kill_everything(console: &mut Console) {
    // Group by group first: no fork can run away from that.
    for entry in fs::read_dir(cgroup::ROOT).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path != Path::new(cgroup::SELF) {
            // A group that is gone has nobody in it.
            let _ = fs::write(path.join("cgroup.kill"), "1");
        }
    }
    if let Err(error) = process::kill_all() {
        problem(console, &format!("killing what is left: {error}"));
    }
    // kill(-1) finds nobody once everybody is dead and reaped.
    let gone = within(KILL_WITHIN, || {
        while let Ok(Some(_)) = process::reap() {}
        !process::has_children()
    });
    if !gone {
        problem(console, "processes do not end, unmounting all the same");
    }
}

fn unmount_everything(console: &mut Console) {
    let program = ["/proc/self/exe".to_owned(), "unmount".to_owned()];
    let child = console.device().ok_or_else(|| std::io::ErrorKind::NotFound.into()).and_then(|device| {
        process::Spawn {
            command: &program,
            environment: &[],
            output: device,
            cgroup: None,
            user: None,
            fence: None,
            extra: None,
            open_files: None,
            oom_score_adjust: 0,
        }
        .start()
    });
    let child = match child {
        Ok(child) => child,
        Err(error) => {
            problem(console, &format!("starting a process that unmounts: {error}"));
            return unmount::run();
        }
    };
    let done = within(UNMOUNT_WITHIN, || {
        while let Ok(Some((pid, _))) = process::reap() {
            if pid == child.pid {
                return true;
            }
        }
        false
    });
    if !done {
        problem(console, "unmounting takes too long, going on without");
    }
}

fn problem(console: &mut Console, text: &str) {
    console.say(Monotonic::now(), Subject::Machine, &format!("problem: {text}"));
}

/// Waits until `done` says so, at most for `time`.
fn within(time: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Monotonic::now().after(time);
    loop {
        if done() {
            return true;
        }
        if Monotonic::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_at_its_deadline() {
        let mut looks = 0;
        let done = within(Duration::from_millis(20), || {
            looks += 1;
            false
        });
        assert!(!done && looks > 1);
        assert!(within(Duration::ZERO, || true));
    }
}
