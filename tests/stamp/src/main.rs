//! The service that `cargo xtask bench supervisor` has supervised: says when it began, and plays a part.
//!
//! Its first instructions read CLOCK_MONOTONIC, before libc looks at the processor, which takes longer than a
//! supervisor's part in a start where CPUID is emulated; once libc calls it, it appends 16 bytes to /bench/stamps:
//! the nanoseconds (u64), its number and its pid (u32 each), as the machine has them. Words come as
//! arguments, or from the file `stamp` in its working directory where a supervisor gives none.
#![no_main]
#![allow(
    unsafe_code,
    reason = "its entry, and the name that libc calls, which nothing else of this program has"
)]

use std::arch::global_asm;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const STAMPS: &str = "/bench/stamps";
const PROGRAM: &str = "/bench/stamp";
/// They do not stamp.
const PARTS_OF_ONE_WORD: [&str; 2] = ["orphan", "brood"];
/// How long an orphan outlives its parent: long enough to be orphaned on a busy machine.
const ORPHAN_LIVES: Duration = Duration::from_millis(50);
/// Orphans that one parent leaves behind.
const BROOD: u32 = 50;

/// When it began, as the kernel wrote it: seconds and nanoseconds of CLOCK_MONOTONIC.
#[used]
static BEGAN: [AtomicI64; 2] = [AtomicI64::new(0), AtomicI64::new(0)];

// The program's entry (build.rs): clock_gettime(CLOCK_MONOTONIC, BEGAN), and on to libc's. What that finds in registers
// and on the stack is as it was, but for rax, rcx, rdi, rsi and r11, which mean nothing to it.
global_asm!(
    ".globl begin",
    "begin:",
    "mov eax, 228",
    "mov edi, 1",
    "lea rsi, [rip + {began}]",
    "syscall",
    "jmp _start",
    began = sym BEGAN,
);

/// Called by libc.
#[unsafe(no_mangle)]
pub extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
    let [seconds, nanos] = BEGAN.each_ref().map(|part| part.load(Ordering::Relaxed));
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    // s6 gives the service's name.
    if words.iter().all(|word| !PARTS_OF_ONE_WORD.contains(&word.as_str())) && words.len() < 2 {
        let text = fs::read_to_string("stamp").unwrap_or_default();
        words = text.split_whitespace().map(str::to_owned).collect();
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["orphan"] => {
            thread::sleep(ORPHAN_LIVES);
            Ok(())
        }
        ["brood"] => (0..BROOD).try_for_each(|_| start("orphan")),
        [part, number, rest @ ..] => stamp(seconds, nanos, number).and_then(|()| play(part, rest)),
        _ => Err(io::Error::other("usage: stamp PART NUMBER [WORD]")),
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("stamp {}: {error}", words.join(" "));
            1
        }
    }
}

fn stamp(seconds: i64, nanos: i64, number: &str) -> io::Result<()> {
    let nanos = u64::try_from(seconds * 1_000_000_000 + nanos).map_err(io::Error::other)?;
    let number: u32 = number.parse().map_err(io::Error::other)?;
    let mut record = [0; 16];
    record[..8].copy_from_slice(&nanos.to_ne_bytes());
    record[8..12].copy_from_slice(&number.to_ne_bytes());
    record[12..].copy_from_slice(&std::process::id().to_ne_bytes());
    // Appending a record at once is atomic, whoever else does.
    File::options().append(true).open(STAMPS)?.write_all(&record)
}

fn play(part: &str, words: &[&str]) -> io::Result<()> {
    match (part, words) {
        ("exit", []) => return Ok(()),
        ("stay", []) => {}
        // s6's and dinit's protocol, by the name that /proc gives the descriptor.
        ("ready", [descriptor]) => {
            File::options().write(true).open(format!("/proc/self/fd/{descriptor}"))?.write_all(b"\n")?;
        }
        ("notify", []) => {
            let socket = std::env::var_os("NOTIFY_SOCKET").ok_or(io::ErrorKind::NotFound)?;
            UnixDatagram::unbound()?.send_to(b"READY=1", socket)?;
        }
        ("orphans", [per_second]) => return orphans(per_second.parse().map_err(io::Error::other)?),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    loop {
        thread::park();
    }
}

/// Leaves so many orphans per second behind, evenly, until it is killed.
fn orphans(per_second: u32) -> io::Result<()> {
    let pause = Duration::from_secs(1) * BROOD / per_second.max(1);
    let mut due = Instant::now();
    loop {
        let mut brood = Command::new(PROGRAM).arg("brood").stdin(Stdio::null()).spawn()?;
        brood.wait()?;
        stamp(0, 0, "4294967295")?;
        due += pause;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Starts one that nobody waits for: its parent is gone before it is.
#[allow(clippy::zombie_processes, reason = "that is what they are for")]
fn start(part: &str) -> io::Result<()> {
    Command::new(PROGRAM).arg(part).stdin(Stdio::null()).spawn().map(drop)
}
