//! PID 1 from its first instruction to its last: boot, supervise, end.
//!
//! The three stages in order, each a module of its own; here is only what passes between
//! them. A fault, and a panic is one, executes this program anew, which goes on from what was
//! saved last; when that does not work either, the machine is ended in order.

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
use std::process;

use machine_config::service::Table;
use node_sys::event;
use node_sys::resume::{self, Memory};

use crate::agent::image::Image;
use crate::agent::paths;
use crate::boot;
use crate::boot::apply::{self, CONSOLE};
use crate::console::{Console, Subject};
use crate::control::message::Ending;
use crate::monotonic::Monotonic;
use crate::service::core::{Entry, Plan};
use crate::shutdown;
use crate::supervisor::Supervisor;
use crate::supervisor::succession::{Inheritance, Reason, last_words};
use crate::watchdog::Dog;

/// Runs the machine. Comes back only if the kernel refuses to end it.
pub(crate) fn run() {
    panic::set_hook(Box::new(tell_panic));
    let mut problems = apply::mounts();
    let mut console = Console::open(Path::new(CONSOLE));
    let log = keep(&mut problems, "making the pipe of our own log", own_log(&mut console));
    problems.extend(apply::rest());
    let (image, table) = image(&mut problems);
    problems.extend(apply::shared(&table));
    let started = match &image {
        Some(image) => format!("started, role {}, version {}", image.role, image.version),
        None => "started".to_owned(),
    };
    console.say(Monotonic::now(), Subject::Machine, &started);
    keep(&mut problems, "guarding our memory", node_sys::process::guard_memory());
    let memory = keep(&mut problems, "preparing to survive faults", memory());
    for problem in problems {
        console.say(Monotonic::now(), Subject::Machine, &format!("problem: {problem}"));
    }
    supervise(Supervisor::new(console, log, image, table, memory));
}

/// Goes on where an earlier program of this process ended, with what it left at descriptor `number`.
pub(crate) fn succeed(reason: Reason, number: &str) {
    panic::set_hook(Box::new(tell_panic));
    let inherited =
        number.parse().map_err(io::Error::other).and_then(|number| Inheritance::take(number, reason));
    supervise(inherited.and_then(|inheritance| {
        node_sys::process::guard_memory()?;
        survive_faults(inheritance.memory())?;
        let console = Console::open(Path::new(CONSOLE));
        let (image, table) = image(&mut Vec::new());
        Supervisor::succeed(inheritance, console, image, table)
    }));
}

fn supervise(supervisor: io::Result<Supervisor>) {
    match supervisor {
        Ok(supervisor) => {
            let (console, plan, dog) = supervisor.run();
            shutdown::finish(console, plan, dog);
        }
        Err(error) => {
            let mut console = Console::open(Path::new(CONSOLE));
            let text = format!("preparing to supervise: {error}");
            last_words(&text);
            console.say(Monotonic::now(), Subject::Machine, &format!("problem: {text}"));
            let now = Monotonic::now();
            let plan = Plan::begin(Ending::Reboot, Entry::Fault, now);
            // A predecessor's goes on biting as it was told to, and cannot be opened a second time.
            let (mut dog, ..) = Dog::arm(now);
            dog.bite_at(plan.bites(), now);
            shutdown::finish(console, plan, dog);
        }
    }
}

/// What the image says of itself, and its services.
fn image(problems: &mut Vec<String>) -> (Option<Image>, Table) {
    let image = match Image::load(Path::new(paths::IMAGE)) {
        Ok(image) => Some(image),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let table = boot::load(Path::new(paths::SERVICES)).unwrap_or_else(|problem| {
        problems.push(problem);
        Table::default()
    });
    (image, table)
}

fn keep<T>(problems: &mut Vec<String>, doing: &str, done: io::Result<T>) -> Option<T> {
    done.map_err(|error| problems.push(format!("{doing}: {error}"))).ok()
}

/// Where what PID 1 knows survives its own faults.
fn memory() -> io::Result<Memory> {
    let memory = Memory::new()?;
    survive_faults(&memory)?;
    Ok(memory)
}

fn survive_faults(memory: &Memory) -> io::Result<()> {
    resume::on_fault(&["init", Reason::Fault.word(), &memory.number().to_string()])
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
    let text = format!("PID 1 does not know how to go on: {panic}").replace('\n', " ");
    last_words(&text);
    console.say(Monotonic::now(), Subject::Machine, &format!("problem: {text}"));
    // Which is a fault like any other.
    process::abort();
}
