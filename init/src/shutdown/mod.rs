//! The machine's end once PID 1 is alone: everything unmounted, everything on disk, reboot or power off.
//!
//! Services have been stopped, what was left was killed, logs are written ([`crate::supervisor`]);
//! the plan says how much time each step has. There is exactly one way out. Unmounting and syncing
//! may hang in the kernel, so children do that (`unmount`). `sweep` kills by control group. If PID 1 itself hangs,
//! the watchdog ends the machine: it is kept in hand to the last.

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
pub(crate) mod sweep;
pub mod unmount;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use node_sys::spawn::Spawn;
use node_sys::{event, power, process, resume};

use crate::console::{Console, Subject};
use crate::control::message::Ending;
use crate::monotonic::Monotonic;
use crate::service::core::{Phase, Plan};
use crate::watchdog::Dog;

/// How long processes may take to be gone that were killed one by one, which hardly anybody is.
const KILL_WITHIN: Duration = Duration::from_secs(1);
/// How long the console may take for its last lines.
const CONSOLE_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks; nothing else is going on any more.
const LOOK: Duration = Duration::from_millis(5);
/// Where words go that nobody can read.
const NOWHERE: &str = "/dev/null";
/// The word of the child that unmounts.
pub const UNMOUNT: &str = "unmount";
/// The word of the child that syncs.
pub const SYNC: &str = "sync";

/// Ends the machine. Comes back only when the kernel refuses; then PID 1 ends, which it does not survive.
pub fn finish(mut console: Console, mut plan: Plan, mut dog: Dog) {
    kill_everybody(&mut console, &mut dog);
    while plan.phase() < Phase::Unmount {
        plan.done(plan.phase(), Monotonic::now());
    }
    for (phase, word) in [(Phase::Unmount, UNMOUNT), (Phase::Sync, SYNC)] {
        have_done(word, &plan, &mut console, &mut dog);
        plan.done(phase, Monotonic::now());
    }
    let ending = plan.ending();
    let words = match ending {
        Ending::Reboot => "rebooting",
        Ending::PowerOff => "powering off",
    };
    console.say(Monotonic::now(), Subject::Machine, words);
    until(Monotonic::now().after(CONSOLE_WITHIN), &mut dog, || {
        console.flush();
        !console.is_behind()
    });
    let refused = match ending {
        Ending::Reboot => power::restart(),
        Ending::PowerOff => power::power_off(),
    };
    if let Err(error) = refused {
        problem(&mut console, &format!("{ending}: {error}"));
    }
    // The kernel's own emergency exit; without it only its panic is left.
    let _ = fs::write("/proc/sysrq-trigger", "b");
}

fn kill_everybody(console: &mut Console, dog: &mut Dog) {
    let killed = sweep::kill(&[]).and(process::kill_all());
    if let Err(error) = killed {
        problem(console, &format!("killing what is left: {error}"));
    }
    let gone = until(Monotonic::now().after(KILL_WITHIN), dog, || {
        while let Ok(Some(_)) = process::reap() {}
        !process::has_children()
    });
    if !gone {
        problem(console, "processes do not end, unmounting all the same");
    }
}

/// The child's descriptor on which it says that it is done: with a thread of it that hangs in the kernel it never ends.
const DONE: u8 = 3;

/// Tells PID 1, from a child of its own, that all was done that could be done.
pub(crate) fn say_done() {
    // Whoever cannot say it is waited for.
    let _ = resume::adopt(DONE.into()).and_then(|done| event::write_now(&done, b"x"));
}

/// Starts this program as an ordinary process for something that PID 1 must not wait for; it is no service.
pub(crate) fn child(
    words: &[&str],
    console: &Console,
    extra: Option<(BorrowedFd<'_>, u8)>,
) -> io::Result<process::Child> {
    let program = ["/proc/self/exe"].into_iter().chain(words.iter().copied());
    // Without a console there is nobody to tell what is wrong, and all the same something to do.
    let nowhere = match console.device() {
        Some(_) => None,
        None => Some(File::options().write(true).open(NOWHERE)?),
    };
    let output = console.device().or(nowhere.as_ref().map(AsFd::as_fd)).ok_or(io::ErrorKind::NotFound)?;
    Spawn {
        command: &program.map(str::to_owned).collect::<Vec<_>>(),
        environment: &[],
        output,
        cgroup: None,
        user: None,
        groups: &[],
        fence: None,
        extra,
        open_files: None,
        oom_score_adjust: 0,
    }
    .start()
}

/// Has a child of our own do it; goes on without when its time is over.
fn have_done(word: &str, plan: &Plan, console: &mut Console, dog: &mut Dog) {
    let pipe = event::pipe().ok();
    let done = pipe.as_ref().map(|(_, write)| (write.as_fd(), DONE));
    let child = match child(&[word], console, done) {
        Ok(child) => child,
        Err(error) => {
            problem(console, &format!("starting a process to {word}: {error}"));
            return match word {
                UNMOUNT => unmount::run(),
                _ => power::sync(),
            };
        }
    };
    let deadline = plan.deadline().unwrap_or_else(Monotonic::now);
    let done = until(deadline, dog, || {
        if pipe.as_ref().is_some_and(|(read, _)| matches!(event::read_now(read, &mut [0; 8]), Ok(Some(1..))))
        {
            return true;
        }
        while let Ok(Some((pid, _))) = process::reap() {
            if pid == child.pid {
                return true;
            }
        }
        false
    });
    if !done {
        problem(console, &format!("{word} takes too long, going on without"));
    }
}

fn problem(console: &mut Console, text: &str) {
    console.say(Monotonic::now(), Subject::Machine, &format!("problem: {text}"));
}

/// Waits until `done` says so, or the deadline has come.
fn until(deadline: Monotonic, dog: &mut Dog, mut done: impl FnMut() -> bool) -> bool {
    loop {
        if done() {
            return true;
        }
        let now = Monotonic::now();
        if now >= deadline {
            return false;
        }
        dog.pet(now);
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_a_child_does_is_done_without_a_console_too() {
        let console = Console::open(Path::new("/there/is/no/console"));
        // This program is the tests, and lists them.
        child(&["--list"], &console, None).unwrap();
    }

    #[test]
    fn waiting_ends_at_its_deadline_and_keeps_the_watchdog_quiet_until_then() {
        let (mut dog, pats) = Dog::stubborn(Duration::from_secs(60));
        let mut looks = 0;
        let done = until(Monotonic::now().after(Duration::from_millis(20)), &mut dog, || {
            looks += 1;
            false
        });
        assert!(!done && looks > 1);
        assert_eq!(pats.metadata().unwrap().len(), 1, "once a second is enough");
        assert!(until(Monotonic::from_millis(0), &mut dog, || true));
    }
}
