//! PID 1 from its first instruction to its last: boot, supervise, end.
//!
//! The three stages in order, each a module of its own; here is only what passes between
//! them. A panic says so on the console and aborts: the kernel then starts the machine again.

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

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{self, PanicHookInfo};
use std::path::Path;

use machine_config::service::Table;
use node_sys::event;

use crate::agent::image::Image;
use crate::agent::paths;
use crate::boot::{self, apply};
use crate::console::{Console, Subject};
use crate::control::message::Ending;
use crate::monotonic::Monotonic;
use crate::service::core::{Entry, Plan};
use crate::shutdown;
use crate::supervisor::Supervisor;

const CONSOLE: &str = "/dev/console";

/// Runs the machine. Comes back only if the kernel refuses to end it.
pub(crate) fn run() {
    panic::set_hook(Box::new(tell_panic));
    let mut problems = apply::mounts();
    let mut console = Console::open(Path::new(CONSOLE));
    let log = match own_log(&mut console) {
        Ok(log) => Some(log),
        Err(error) => {
            problems.push(format!("making the pipe of our own log: {error}"));
            None
        }
    };
    problems.extend(apply::rest());
    let image = match Image::load(Path::new(paths::IMAGE)) {
        Ok(image) => Some(image),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let started = match &image {
        Some(image) => format!("started, role {}, version {}", image.role, image.version),
        None => "started".to_owned(),
    };
    console.say(Monotonic::now(), Subject::Machine, &started);
    let table = boot::load(Path::new(paths::SERVICES)).unwrap_or_else(|problem| {
        problems.push(problem);
        Table::default()
    });
    for problem in problems {
        console.say(Monotonic::now(), Subject::Machine, &format!("problem: {problem}"));
    }
    match Supervisor::new(console, log, image, table) {
        Ok(supervisor) => {
            let (console, plan) = supervisor.run();
            shutdown::finish(console, plan);
        }
        Err(error) => {
            let mut console = Console::open(Path::new(CONSOLE));
            let text = format!("problem: preparing to supervise: {error}");
            console.say(Monotonic::now(), Subject::Machine, &text);
            shutdown::finish(console, Plan::begin(Ending::Reboot, Entry::Fault, Monotonic::now()));
        }
    }
}

/// What is said at the console goes into a pipe, too, for logd; its reading end.
fn own_log(console: &mut Console) -> io::Result<OwnedFd> {
    let (read, write) = event::pipe()?;
    event::set_nonblocking(&write)?;
    console.also_to(write);
    Ok(read)
}

fn tell_panic(panic: &PanicHookInfo<'_>) {
    let mut console = Console::open(Path::new(CONSOLE));
    let text = format!("problem: PID 1 does not know how to go on: {panic}");
    console.say(Monotonic::now(), Subject::Machine, &text.replace('\n', " "));
}
