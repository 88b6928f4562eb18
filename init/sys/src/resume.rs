//! A program that replaces itself and keeps its descriptors, by wish or by fault.
//!
//! [`Memory`] holds what the next program must know, outside of this one's memory; [`replace`]
//! executes the program anew, and [`on_fault`] does so when it is about to die. What is kept,
//! and what the next program makes of it, is `init`'s business.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Room for one content; there are two, so that a fault while one is written leaves the other.
const HALF: u64 = 4 << 20;
/// Before the content: sequence number, length, sum; eight bytes each.
const HEADER: usize = 24;
/// Descriptors above this are not kept over a fault.
const DESCRIPTORS_MAX: RawFd = 4096;
/// Signals that mean that this program is broken.
const FAULTS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGSYS];
/// A fault may be an overflow of the stack, so its handler has one of its own.
const FAULT_STACK: usize = 64 * 1024;

/// Bytes in memory that outlive this program.
#[derive(Debug)]
pub struct Memory {
    file: File,
    sequence: u64,
}

impl Memory {
    /// New and empty.
    ///
    /// # Errors
    /// Those of memfd_create(2).
    pub fn new() -> io::Result<Self> {
        let descriptor = rustix::fs::memfd_create("slipway-state", rustix::fs::MemfdFlags::CLOEXEC)?;
        Ok(Self { file: descriptor.into(), sequence: 0 })
    }

    /// The memory at descriptor `number`, which an earlier program of ours left there.
    ///
    /// # Errors
    /// It is no such thing.
    pub fn inherited(number: RawFd) -> io::Result<Self> {
        let link = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
        if !link.to_string_lossy().starts_with("/memfd:slipway-state") {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("descriptor {number} is {}", link.display()),
            ));
        }
        // SAFETY: it is open, as its link shows, and nothing else in this program knows of it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Self { file: descriptor.into(), sequence: 0 })
    }

    /// Its descriptor's number, to be told to the next program.
    #[must_use]
    pub fn number(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Replaces the content.
    ///
    /// # Errors
    /// Those of pwrite(2), and when it is larger than 4 MiB.
    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let len = content.len() as u64;
        if len + HEADER as u64 > HALF {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.sequence = self.sequence.wrapping_add(1);
        let at = self.sequence % 2 * HALF;
        // What is torn has another sum, whichever part of it was written: then the other half counts.
        let header = [self.sequence, len, sum(self.sequence, content)].map(u64::to_le_bytes).concat();
        let parts = [IoSlice::new(&header), IoSlice::new(content)];
        let written = rustix::io::pwritev(&self.file, &parts, at)?;
        if written < HEADER + content.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    /// The content that was written last and whole, if any; writing goes on after it.
    ///
    /// # Errors
    /// Those of pread(2).
    pub fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut newest: Option<(u64, Vec<u8>)> = None;
        for half in 0..2 {
            if let Some((sequence, content)) = self.read_half(half * HALF)?
                && newest.as_ref().is_none_or(|(newest, _)| sequence > *newest)
            {
                newest = Some((sequence, content));
            }
        }
        if let Some((sequence, _)) = &newest {
            self.sequence = *sequence;
        }
        Ok(newest.map(|(_, content)| content))
    }

    fn read_half(&self, at: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut header = [0; HEADER];
        if self.file.read_at(&mut header, at)? < HEADER {
            return Ok(None);
        }
        let word = |n: usize| {
            header.get(n * 8..).and_then(|rest| rest.first_chunk()).map_or(0, |w| u64::from_le_bytes(*w))
        };
        let (sequence, len, wanted) = (word(0), word(1), word(2));
        if sequence == 0 || len + HEADER as u64 > HALF {
            return Ok(None);
        }
        let mut content = vec![0; usize::try_from(len).unwrap_or(0)];
        let read = self.file.read_exact_at(&mut content, at + HEADER as u64);
        Ok((read.is_ok() && sum(sequence, &content) == wanted).then_some((sequence, content)))
    }
}

/// FNV's way over sequence and content: against torn writes, not against anybody.
/// Eight bytes at a time: it is taken at every turn of PID 1.
fn sum(sequence: u64, content: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    let (words, rest) = content.as_chunks::<8>();
    let start = mix(0xcbf2_9ce4_8422_2325, sequence);
    let sum = words.iter().fold(start, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}

/// What is executed by [`replace`] and after a fault.
struct Command {
    program: CString,
    arguments: Vec<*const libc::c_char>,
    _words: Vec<CString>,
}

impl Command {
    fn new(arguments: &[&str]) -> io::Result<Self> {
        let words: Vec<CString> =
            arguments.iter().map(|word| CString::new(*word)).collect::<Result<_, _>>()?;
        let pointers = words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
        Ok(Self { program: c"/proc/self/exe".to_owned(), arguments: pointers, _words: words })
    }

    /// Comes back only when it did not work.
    fn execute(&self, kept: impl Iterator<Item = RawFd>) {
        // SAFETY: system calls on numbers, and execve on NUL-terminated texts and a NULL-terminated
        // list that `self` owns; all of it may be done in a signal handler.
        unsafe {
            for descriptor in kept {
                libc::fcntl(descriptor, libc::F_SETFD, 0);
            }
            let nothing = [std::ptr::null::<libc::c_char>()];
            libc::execve(self.program.as_ptr(), self.arguments.as_ptr(), nothing.as_ptr());
        }
    }
}

/// Executes this program anew with `arguments` (its name first). Of its descriptors `kept` stay open, and those that
/// children inherit anyway.
///
/// # Errors
/// Comes back only with one: those of execve(2).
pub fn replace(arguments: &[&str], kept: &[RawFd]) -> io::Error {
    match Command::new(arguments) {
        Ok(command) => {
            command.execute(kept.iter().copied());
            let error = io::Error::last_os_error();
            for descriptor in kept {
                // SAFETY: numbers only; one that is not open is refused.
                unsafe { libc::fcntl(*descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
            error
        }
        Err(error) => error,
    }
}

static AFTER_FAULT: AtomicPtr<Command> = AtomicPtr::new(std::ptr::null_mut());

/// From now on a fault of this program (a bad access, an abort) executes it anew with `arguments`.
/// Only faults that the kernel or this program itself signals count; others' signals are ignored.
///
/// # Errors
/// Those of sigaltstack(2) and sigaction(2).
pub fn on_fault(arguments: &[&str]) -> io::Result<()> {
    let command = Box::new(Command::new(arguments)?);
    // Neither is ever freed: a fault may come at any time until the program's end.
    AFTER_FAULT.store(Box::leak(command), Ordering::SeqCst);
    let stack = Box::leak(vec![0_u8; FAULT_STACK].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: FAULT_STACK };
    // SAFETY: the stack lives for ever; the handler makes system calls only.
    unsafe {
        if libc::sigaltstack(&raw const stack, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        for signal in FAULTS {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

extern "C" fn handle(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid structure; pid and uid are there when a process sent it.
    let is_ours = unsafe {
        let from_process = (*info).si_code <= 0;
        !from_process || (*info).si_pid() == libc::getpid()
    };
    // kill -SEGV 1 by somebody must not break what works.
    if !is_ours {
        return;
    }
    let command = AFTER_FAULT.load(Ordering::SeqCst);
    if !command.is_null() {
        // SAFETY: it was leaked, so it lives, and nobody changes it.
        unsafe { (*command).execute(3..DESCRIPTORS_MAX) };
    }
    // SAFETY: ends this process, which the kernel answers with a panic if it is the first.
    unsafe { libc::_exit(127) }
}

/// Closes every descriptor above stderr but these.
pub fn close_all_but(kept: &[RawFd]) {
    let mut kept: Vec<RawFd> = kept.iter().copied().filter(|number| *number > 2).collect();
    kept.sort_unstable();
    let mut from = 3;
    for number in kept.into_iter().chain([RawFd::MAX]) {
        if from < number {
            // SAFETY: numbers only; whoever calls this has just begun and owns nothing but what is kept.
            unsafe { libc::syscall(libc::SYS_close_range, from, number - 1, 0) };
        }
        from = number.saturating_add(1);
    }
}

/// Takes over an inherited descriptor; close-on-exec again.
///
/// # Errors
/// It is not open.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: checked to be open; the saved state names each number once.
    unsafe {
        if libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_content_is_read() {
        let mut memory = Memory::new().unwrap();
        assert_eq!(memory.read().unwrap(), None);
        for content in [&b"one"[..], b"", &[7; 100_000], b"four"] {
            memory.write(content).unwrap();
            assert_eq!(memory.read().unwrap().as_deref(), Some(content));
        }
        assert!(memory.write(&vec![0; 5 << 20]).is_err());
        assert_eq!(memory.read().unwrap().as_deref(), Some(&b"four"[..]), "what is too long changes nothing");
    }

    #[test]
    fn a_torn_write_leaves_the_one_before() {
        let mut memory = Memory::new().unwrap();
        memory.write(b"before").unwrap();
        memory.write(b"torn").unwrap();
        let at = memory.sequence % 2 * HALF;
        memory.file.write_all_at(b"x", at + HEADER as u64).unwrap();
        assert_eq!(memory.read().unwrap().as_deref(), Some(&b"before"[..]));
        memory.write(b"after").unwrap();
        assert_eq!(memory.read().unwrap().as_deref(), Some(&b"after"[..]), "writing goes on");
    }

    #[test]
    fn only_our_own_memory_is_inherited() {
        let file = File::open("/dev/null").unwrap();
        assert!(Memory::inherited(file.as_raw_fd()).is_err());
        assert!(Memory::inherited(9999).is_err());
    }
}
