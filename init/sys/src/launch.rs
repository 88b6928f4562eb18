//! Between clone and exec: what a child does before its program runs, in the memory of its parent.
//!
//! Nothing is copied: the child has our memory and a stack of its own until exec gives it another, so that a
//! start costs the same however much PID 1 holds, and PID 1 goes on meanwhile; only who sets its own `oom_score_adj`
//! gets a copy. All that the child reads is a [`Launch`], which is kept ([`Lent`]) until the kernel has closed the
//! child's end of the failure pipe: by then it has let go of our memory. Bare system calls only: even errno would be
//! the parent's.
#![allow(unsafe_code)]

use std::arch::asm;
use std::convert::Infallible;
use std::ffi::{CString, c_char, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};

use syscalls::{Errno, Sysno, syscall};

use crate::fence::Fence;
use crate::process::Pid;

/// What a child needs before its program runs, and the lowest page of it, which nobody may touch.
const STACK: usize = 32 * 1024;
const GUARD: usize = 4096;
/// From linux/sched.h; libc's constants of these names are ints, in which they do not fit.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What a child was about when it failed before its program ran.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
enum Step {
    Session,
    Signals,
    Streams,
    OomScore,
    OpenFiles,
    Descriptors,
    Directory,
    User,
    Program,
    Privileges,
    Extra,
}

/// The steps in words, in their order.
const STEPS: [&str; 11] = [
    "starting a session",
    "resetting signals",
    "setting up stdin and stdout",
    "setting oom_score_adj",
    "limiting open files",
    "closing descriptors",
    "changing directory",
    "changing user",
    "executing the program",
    "taking away privileges",
    "handing over a descriptor",
];

/// What a child wrote into its failure pipe, in words.
pub(crate) fn told(report: [u8; 8]) -> io::Error {
    let [a, b, c, d, e, f, g, h] = report;
    let step = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let error = io::Error::from_raw_os_error(i32::from_ne_bytes([e, f, g, h]));
    let doing = STEPS.get(step).copied().unwrap_or("starting");
    io::Error::new(error.kind(), format!("{doing}: {error}"))
}

/// Texts as exec takes them.
#[derive(Debug)]
pub(crate) struct Words {
    pointers: Vec<*const c_char>,
    _texts: Vec<CString>,
}

impl Words {
    /// # Errors
    /// A NUL byte.
    pub(crate) fn of(texts: &[String]) -> io::Result<Self> {
        let texts: Vec<CString> =
            texts.iter().map(|text| CString::new(text.as_str())).collect::<Result<_, _>>()?;
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { pointers, _texts: texts })
    }
}

/// All that the child reads.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) command: Words,
    pub(crate) environment: Words,
    /// Its `oom_score_adj`, if it is another than ours.
    pub(crate) oom: Option<CString>,
    pub(crate) null: RawFd,
    pub(crate) output: RawFd,
    pub(crate) failure: RawFd,
    pub(crate) user: Option<u32>,
    pub(crate) groups: Vec<u32>,
    pub(crate) fence: Option<Arc<Fence>>,
    pub(crate) extra: Option<(RawFd, RawFd)>,
    pub(crate) open_files: Option<u64>,
}

/// What a child may still read: never freed unless it is said to have been given back.
#[derive(Debug, Default)]
pub(crate) struct Lent(Option<(Box<Launch>, Stack)>);

impl Lent {
    /// The child has let go of it.
    pub(crate) fn give_back(&mut self) {
        self.0 = None;
    }

    #[cfg(test)]
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody watches the child any more, and it has not executed its program: rather lost than pulled away.
        std::mem::forget(self.0.take());
    }
}

impl Launch {
    /// Makes the child.
    ///
    /// # Errors
    /// Those of mmap(2) and clone3(2); no program at all.
    pub(crate) fn begin(self, cgroup: Option<BorrowedFd<'_>>) -> io::Result<(Pid, OwnedFd, Lent)> {
        if self.command.pointers.first().is_none_or(|first| first.is_null()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Looked up now: the child must not.
        ignored();
        let stack = Stack::new()?;
        let launch = Box::new(self);
        let mut pidfd: RawFd = -1;
        // SAFETY: clone_args is a plain structure of integers, for which zero means "not used".
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND;
        // The kernel sets a score for everybody who has the same memory: for other children of ours, too, that are
        // not their own programs yet.
        if launch.oom.is_none() {
            arguments.flags |= libc::CLONE_VM as u64;
        }
        arguments.pidfd = (&raw mut pidfd) as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;
        arguments.stack = stack.base as u64;
        arguments.stack_size = STACK as u64;
        if let Some(cgroup) = cgroup {
            arguments.flags |= CLONE_INTO_CGROUP;
            arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
        }
        // SAFETY: the child runs `run` on a stack that nobody else has and reads `launch`, neither of which is
        // freed before it has let go of them (`Lent`).
        let number = unsafe { clone(&raw const arguments, &raw const *launch) };
        let number = i32::try_from(number).map_err(io::Error::other)?;
        if number < 0 {
            return Err(io::Error::from_raw_os_error(number.saturating_neg()));
        }
        // SAFETY: the kernel made this descriptor for us in the call above; nobody else has it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok((Pid::from_raw(number)?, pidfd, Lent(Some((launch, stack)))))
    }

    /// Runs in the child; comes back only with the step that failed and its errno.
    fn become_program(&self) -> Result<Infallible, (Step, Errno)> {
        let at = |step: Step| move |errno: Errno| (step, errno);
        // SAFETY: bare system calls on numbers, on constants, and on what `self` owns, all of which outlives them.
        unsafe {
            syscall!(Sysno::setsid).map_err(at(Step::Session))?;
            // Handlers are gone since clone; what was ignored would stay so. The kernel's structure is four
            // words; all zero is "default, no flags, no mask".
            let default = [0_u64; 4];
            for signal in (1..=64_u32).filter(|signal| ignored() >> (signal - 1) & 1 == 1) {
                syscall!(Sysno::rt_sigaction, signal, default.as_ptr(), 0, 8).map_err(at(Step::Signals))?;
            }
            let nothing = 0_u64;
            syscall!(Sysno::rt_sigprocmask, libc::SIG_SETMASK, &raw const nothing, 0, 8)
                .map_err(at(Step::Signals))?;
            for (from, to) in [(self.null, 0), (self.output, 1), (self.output, 2)] {
                syscall!(Sysno::dup2, from, to).map_err(at(Step::Streams))?;
            }
            if let Some(oom) = &self.oom {
                let path = c"/proc/self/oom_score_adj".as_ptr();
                let file = syscall!(Sysno::openat, libc::AT_FDCWD, path, libc::O_WRONLY | libc::O_CLOEXEC, 0)
                    .map_err(at(Step::OomScore))?;
                syscall!(Sysno::write, file, oom.as_ptr(), oom.count_bytes()).map_err(at(Step::OomScore))?;
            }
            if let Some(most) = self.open_files {
                let limit = [most, most];
                syscall!(Sysno::prlimit64, 0, libc::RLIMIT_NOFILE, limit.as_ptr(), 0)
                    .map_err(at(Step::OpenFiles))?;
            }
            // On exec, not now: the failure pipe is still needed.
            syscall!(Sysno::close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
                .map_err(at(Step::Descriptors))?;
            if let Some((from, to)) = self.extra {
                self.hand_over(from, to).map_err(at(Step::Extra))?;
            }
            syscall!(Sysno::umask, 0o022).map_err(at(Step::Directory))?;
            syscall!(Sysno::chdir, c"/".as_ptr()).map_err(at(Step::Directory))?;
            if let Some(fence) = &self.fence {
                fence.apply_as_root().map_err(at(Step::Privileges))?;
            }
            if let Some(id) = self.user {
                syscall!(Sysno::setgroups, self.groups.len(), self.groups.as_ptr())
                    .map_err(at(Step::User))?;
                syscall!(Sysno::setgid, id).map_err(at(Step::User))?;
                syscall!(Sysno::setuid, id).map_err(at(Step::User))?;
            }
            if let Some(fence) = &self.fence {
                fence.apply_last(self.user.unwrap_or(0) == 0).map_err(at(Step::Privileges))?;
            }
            let (argv, envp) = (self.command.pointers.as_ptr(), self.environment.pointers.as_ptr());
            match syscall!(Sysno::execve, argv.read(), argv, envp) {
                Err(errno) => Err((Step::Program, errno)),
                Ok(_) => Err((Step::Program, Errno::EINVAL)),
            }
        }
    }

    /// Makes `from` the child's descriptor `to`, unless the failure pipe is there; without close-on-exec.
    unsafe fn hand_over(&self, from: RawFd, to: RawFd) -> Result<(), Errno> {
        if self.failure == to {
            return Err(Errno::EBADF);
        }
        // SAFETY: system calls on numbers.
        unsafe {
            match from == to {
                true => syscall!(Sysno::fcntl, from, libc::F_SETFD, 0)?,
                false => syscall!(Sysno::dup2, from, to)?,
            };
        }
        Ok(())
    }
}

/// The child, from its first instruction to its program, or to its end.
extern "C" fn run(launch: *const Launch) -> ! {
    // SAFETY: `begin` hands in a launch that is kept until we are gone.
    let launch = unsafe { &*launch };
    let Err((step, errno)) = launch.become_program();
    let [a, b, c, d] = (step as u32).to_ne_bytes();
    let [e, f, g, h] = errno.into_raw().to_ne_bytes();
    let report = [a, b, c, d, e, f, g, h];
    // SAFETY: a system call on a descriptor of ours and on bytes on the stack.
    let _ = unsafe { syscall!(Sysno::write, launch.failure, report.as_ptr(), report.len()) };
    loop {
        // SAFETY: it takes a number and ends us.
        let _ = unsafe { syscall!(Sysno::exit_group, 127) };
    }
}

/// clone3 with a stack: the child begins in [`run`], the parent gets its number or a negative errno.
///
/// # Safety
/// What `arguments` and `launch` point to stays until the child has executed its program or ended.
unsafe fn clone(arguments: *const libc::clone_args, launch: *const Launch) -> isize {
    let result: isize;
    // SAFETY: to the parent this is a system call that changes rax, rcx and r11 only. The child is on the stack
    // that it was given, with nothing on it, and never leaves `run`.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") arguments,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") launch,
            in("r13") run as extern "C" fn(*const Launch) -> !,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The signals that this process ignores, a bit each: what a child would go on ignoring. Looked up once, since the
/// runtime decides on it before our first line.
fn ignored() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        (1..=64_u32).fold(0, |set, signal| {
            let mut action = [0_u64; 4];
            // SAFETY: the kernel writes its structure of four words.
            let asked = unsafe { syscall!(Sysno::rt_sigaction, signal, 0, action.as_mut_ptr(), 8) };
            let [handler, ..] = action;
            let is_ignored = asked.is_ok() && handler == libc::SIG_IGN as u64;
            set | u64::from(is_ignored) << (signal - 1)
        })
    })
}

/// A child's stack: memory of its own, its lowest page out of bounds.
#[derive(Debug)]
struct Stack {
    base: *mut c_void,
}

/// The stack that a child gave back last, for the next one.
static SPARE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

impl Stack {
    fn new() -> io::Result<Self> {
        let base = SPARE.swap(ptr::null_mut(), Ordering::Acquire);
        if !base.is_null() {
            return Ok(Self { base });
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: new memory, wherever the kernel likes.
        let base = unsafe { libc::mmap(ptr::null_mut(), STACK, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base };
        // SAFETY: it is ours, and nothing is in it yet.
        match unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let base = SPARE.swap(self.base, Ordering::AcqRel);
        if !base.is_null() {
            // SAFETY: it was mapped with this length, and whoever ran on it has left (`Lent`).
            unsafe { libc::munmap(base, STACK) };
        }
    }
}
