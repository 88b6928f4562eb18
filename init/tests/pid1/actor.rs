//! What scenarios' services run: this program, doing its words one after the other.
//!
//! A word is an act with its argument behind `=`; after the last one it exits with 0. In an act that
//! starts another actor, the other's words are separated by `+`, and the words of an actor that this
//! one starts by `,`. One thread, so that what it shows is PID 1's doing.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use init::control::message::{Order, Request};
use init::control::{CONTROL, client};
use node_sys::spawn::Spawn;

/// One thing that an actor does.
#[derive(Debug)]
enum Act {
    /// Lives on.
    Stay,
    /// Uses all the CPU that it gets.
    Spin,
    /// From now on SIGTERM and the like mean nothing.
    IgnoreTerm,
    /// Does nothing for so many milliseconds.
    Sleep(u64),
    /// Ends with a status.
    Exit(u8),
    /// Ends by a signal of its own making.
    Abort,
    /// Tells PID 1 something in sd_notify's words.
    Tell(String),
    /// Prints so many lines.
    Print(u64),
    /// Prints a text.
    Say(String),
    /// Prints so many lines, with so many milliseconds between them.
    Talk(u64, u64),
    /// Prints bytes that are no text, so many without a newline, and an end.
    PrintOdd(usize),
    /// Writes a line to this descriptor.
    ReadyLine(i32),
    /// Uses so many MiB of memory.
    Eat(usize),
    /// Starts another actor as its child.
    Child(String),
    /// Starts another actor in a session of its own.
    Session(String),
    /// Starts another actor in a session of its own, whose parent ends at once.
    Orphan(String),
    /// Has PID 1 restart a service.
    Restart(String),
    /// Makes this terminal its session's, so that it is hung up when the session's first process ends.
    Terminal(String),
    /// Creates a file.
    Touch(String),
    /// Waits until a file exists.
    Await(String),
    /// Fails with this status unless a file exists.
    Unless(String, u8),
    /// Goes on only the first time, by a file that it makes; else it lives on.
    First(String),
    /// Leaves so many families of so many dead to PID 1.
    Storm(u32, u32),
    /// Starts so many children that end at once, and leaves them.
    Brood(u32),
    /// Writes so many MiB into a file, and waits until they are on the disk.
    Flood(String, usize),
}

impl Act {
    fn parse(word: &str) -> Option<Self> {
        let (act, rest) = word.split_once('=').unwrap_or((word, ""));
        let text = || rest.to_owned();
        Some(match act {
            "stay" => Self::Stay,
            "ignore-term" => Self::IgnoreTerm,
            "sleep" => Self::Sleep(rest.parse().ok()?),
            "exit" => Self::Exit(rest.parse().ok()?),
            "abort" => Self::Abort,
            "ready" => Self::Tell("READY=1".to_owned()),
            "tell" => Self::Tell(text()),
            "print" => Self::Print(rest.parse().ok()?),
            "say" => Self::Say(text()),
            "talk" => {
                let (lines, pause) = rest.split_once(':')?;
                Self::Talk(lines.parse().ok()?, pause.parse().ok()?)
            }
            "print-odd" => Self::PrintOdd(rest.parse().ok()?),
            "ready-line" => Self::ReadyLine(rest.parse().ok()?),
            "eat" => Self::Eat(rest.parse().ok()?),
            "child" => Self::Child(text()),
            "session" => Self::Session(text()),
            "orphan" => Self::Orphan(text()),
            "restart" => Self::Restart(text()),
            "terminal" => Self::Terminal(text()),
            "touch" => Self::Touch(text()),
            "spin" => Self::Spin,
            "await" => Self::Await(text()),
            "unless" => {
                let (path, status) = rest.rsplit_once(':')?;
                Self::Unless(path.to_owned(), status.parse().ok()?)
            }
            "first" => Self::First(text()),
            "brood" => Self::Brood(rest.parse().ok()?),
            "storm" => {
                let (families, each) = rest.split_once(':')?;
                Self::Storm(families.parse().ok()?, each.parse().ok()?)
            }
            "flood" => {
                let (path, mib) = rest.rsplit_once(':')?;
                Self::Flood(path.to_owned(), mib.parse().ok()?)
            }
            _ => return None,
        })
    }

    /// Does it; the status if the actor ends by it.
    fn perform(self) -> Option<u8> {
        match self {
            Self::Spin => loop {
                std::hint::spin_loop();
            },
            Self::Stay => loop {
                thread::sleep(Duration::from_secs(3600));
            },
            Self::IgnoreTerm => {
                // They stay blocked when the descriptor is gone.
                node_sys::event::Signals::listen().unwrap();
            }
            Self::Sleep(millis) => thread::sleep(Duration::from_millis(millis)),
            Self::Exit(status) => return Some(status),
            Self::Abort => std::process::abort(),
            Self::Tell(text) => tell(&text),
            Self::Print(lines) => {
                let mut out = std::io::stdout().lock();
                (0..lines).for_each(|n| writeln!(out, "line {n}").unwrap());
            }
            Self::Say(text) => println!("{text}"),
            Self::Talk(lines, pause) => (0..lines).for_each(|n| {
                println!("line {n}");
                thread::sleep(Duration::from_millis(pause));
            }),
            Self::PrintOdd(length) => {
                let mut out = std::io::stdout().lock();
                out.write_all(b"nul \0, no UTF-8 \xff\xfe, escape \x1b[31m\n").unwrap();
                out.write_all(&vec![b'x'; length]).unwrap();
                out.write_all(b"\nend\n").unwrap();
            }
            Self::ReadyLine(number) => {
                let mut line = File::options().write(true).open(format!("/proc/self/fd/{number}")).unwrap();
                line.write_all(b"\n").unwrap();
            }
            Self::Eat(mib) => {
                let mut eaten = vec![0_u8; mib << 20];
                eaten.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
                std::mem::forget(eaten);
            }
            Self::Child(words) => drop(Command::new("/usr/bin/actor").args(split(&words)).spawn().unwrap()),
            Self::Session(words) => _ = session(&words),
            Self::Orphan(words) => {
                let inner = format!("session={words}");
                let mut between = Command::new("/usr/bin/actor").arg(inner).spawn().unwrap();
                between.wait().unwrap();
            }
            Self::Restart(service) => {
                let order = Request::Do(Order::Restart { service, cascade: false });
                let answer = client::ask(Path::new(CONTROL), &order);
                println!("asked for a restart: {answer:?}");
            }
            Self::Terminal(path) => {
                std::mem::forget(File::options().read(true).write(true).open(path).unwrap());
            }
            Self::Touch(path) => drop(File::create(path).unwrap()),
            Self::Await(path) => {
                while !Path::new(&path).exists() {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            Self::Unless(path, status) => return (!Path::new(&path).exists()).then_some(status),
            Self::First(path) if Path::new(&path).exists() => return Self::Stay.perform(),
            Self::First(path) => drop(File::create(path).unwrap()),
            Self::Storm(families, each) => (0..families).for_each(|_| {
                Command::new("/usr/bin/actor").arg(format!("brood={each}")).status().unwrap();
            }),
            // A program that is not there: a process all the same, and a quick one.
            Self::Brood(children) => (0..children).for_each(|_| _ = start(&["/nobody".to_owned()])),
            Self::Flood(path, mib) => {
                let mut file = File::create(path).unwrap();
                let block = vec![7; 1 << 20];
                (0..mib).for_each(|_| file.write_all(&block).unwrap());
                file.sync_all().unwrap();
            }
        }
        None
    }
}

/// Becomes an actor.
pub(crate) fn run(words: &[String]) -> ExitCode {
    for word in words {
        let Some(act) = Act::parse(word) else {
            eprintln!("no act: {word}");
            return ExitCode::from(125);
        };
        if let Some(status) = act.perform() {
            return ExitCode::from(status);
        }
    }
    ExitCode::SUCCESS
}

/// Sends a message as sd_notify does.
pub(crate) fn tell(text: &str) {
    let socket = std::env::var("NOTIFY_SOCKET").unwrap_or_else(|_| "/run/slipway/notify".to_owned());
    UnixDatagram::unbound().unwrap().send_to(text.as_bytes(), socket).unwrap();
}

/// Starts another actor in a session of its own; its number.
pub(crate) fn session(words: &str) -> i32 {
    let command: Vec<String> = ["/usr/bin/actor".to_owned()].into_iter().chain(split(words)).collect();
    start(&command)
}

/// Starts a program in a session of its own, and leaves it.
fn start(command: &[String]) -> i32 {
    let out = std::io::stdout();
    let started = Spawn {
        command,
        environment: &[],
        output: out.as_fd(),
        cgroup: None,
        user: None,
        groups: &[],
        fence: None,
        extra: None,
        open_files: None,
        oom_score_adjust: 0,
    }
    .start();
    started.unwrap().pid.as_raw()
}

/// The words of another actor: what was for the one that it starts is for itself from then on.
fn split(words: &str) -> impl Iterator<Item = String> {
    words.split('+').map(|word| word.replace(',', "+"))
}
