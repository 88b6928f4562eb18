//! Processes: starting one, signalling it, learning how it ended.
//!
//! [`Spawn::start`] is clone3 with a pidfd and straight into a cgroup, so that no child is ever
//! unknown or outside. Until its program runs the child works in the parent's memory while that waits
//! (vfork): copying page tables took longer than all else. It does nothing but system calls on
//! memory that was prepared before, so the parent may hold any lock; if one fails it says so there, and ends.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fence::Fence;
use rustix::process::{Signal as RustixSignal, WaitOptions};

/// A process's number: never zero, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid(rustix::process::Pid);

impl Pid {
    /// This process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self(rustix::process::getpid())
    }

    /// The number.
    #[must_use]
    pub fn as_raw(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// The process with this number.
    ///
    /// # Errors
    /// No process can have it.
    pub fn from_raw(number: i32) -> io::Result<Self> {
        rustix::process::Pid::from_raw(number).map(Self).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    pub(crate) fn rustix(self) -> rustix::process::Pid {
        self.0
    }
}

impl From<rustix::process::Pid> for Pid {
    fn from(pid: rustix::process::Pid) -> Self {
        Self(pid)
    }
}

/// A signal to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGHUP.
    HangUp,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGKILL.
    Kill,
}

impl Signal {
    fn raw(self) -> RustixSignal {
        match self {
            Self::Terminate => RustixSignal::TERM,
            Self::Interrupt => RustixSignal::INT,
            Self::HangUp => RustixSignal::HUP,
            Self::Quit => RustixSignal::QUIT,
            Self::User1 => RustixSignal::USR1,
            Self::User2 => RustixSignal::USR2,
            Self::Kill => RustixSignal::KILL,
        }
    }
}

/// What to start, and as what.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// Program (absolute path) and arguments.
    pub command: &'a [String],
    /// `NAME=VALUE` each; nothing is inherited.
    pub environment: &'a [String],
    /// Where stdout and stderr go; stdin is /dev/null.
    pub output: BorrowedFd<'a>,
    /// The directory of the cgroup it is born into; ours without it.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// User and group; ours without it.
    pub user: Option<u32>,
    /// What is taken away from it; nothing without it.
    pub fence: Option<&'a Fence>,
    /// A descriptor that it gets, and under which number.
    pub extra: Option<(BorrowedFd<'a>, u8)>,
    /// RLIMIT_NOFILE, soft and hard; ours without it.
    pub open_files: Option<u64>,
    /// `oom_score_adj`: always set, or it would be inherited from us.
    pub oom_score_adjust: i16,
}

/// A started process. Whoever reaps must do so by [`reap`]; dropping this closes descriptors only.
#[derive(Debug)]
pub struct Child {
    /// Its number, valid until it is reaped.
    pub pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

/// What a child was about when it failed before its program ran.
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

impl Spawn<'_> {
    /// Starts it. Comes back once its program was executed, or could not be: then nothing is left of it.
    ///
    /// # Errors
    /// Those of open(2) and clone3(2), of what the child does before its program runs, and NUL bytes in what was
    /// handed in.
    pub fn start(&self) -> io::Result<Child> {
        let command = strings(self.command)?;
        let environment = strings(self.environment)?;
        let program = command.first().ok_or(io::ErrorKind::InvalidInput)?;
        let argv = pointers(&command);
        let envp = pointers(&environment);
        let oom = CString::new(self.oom_score_adjust.to_string())?;
        let null = std::fs::File::options().read(true).open("/dev/null")?;
        let prepared = Prepared {
            program,
            argv: &argv,
            envp: &envp,
            oom: &oom,
            null: null.as_raw_fd(),
            output: self.output.as_raw_fd(),
            user: self.user,
            fence: self.fence,
            extra: self.extra.map(|(descriptor, number)| (descriptor.as_raw_fd(), RawFd::from(number))),
            open_files: self.open_files,
            failed: AtomicU64::new(0),
        };
        let child = vfork(self.cgroup, &prepared)?;
        match prepared.failure() {
            None => Ok(child),
            Some(error) => {
                // It has ended, or is about to; nobody else knows of it.
                let of_it = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
                while let Err(rustix::io::Errno::INTR) =
                    rustix::process::waitid(of_it.clone(), rustix::process::WaitIdOptions::EXITED)
                {
                }
                Err(error)
            }
        }
    }
}

impl Child {
    /// Sends a signal to exactly this process; one that has ended already is no error.
    ///
    /// # Errors
    /// Those of pidfd_send_signal(2).
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, signal.raw()) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Status(i32),
    /// By a signal.
    Signal(i32),
}

/// Reaps one ended child, whoever it is; none when no child has ended.
///
/// # Errors
/// Those of wait4(2); having no children at all is none.
pub fn reap() -> io::Result<Option<(Pid, Exit)>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(None),
            Ok(Some((pid, status))) => {
                let exit = match (status.exit_status(), status.terminating_signal()) {
                    (Some(status), _) => Exit::Status(status),
                    (None, Some(signal)) => Exit::Signal(signal),
                    // Stopped or continued: not asked for, and not an end.
                    (None, None) => continue,
                };
                return Ok(Some((Pid(pid), exit)));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether this process has any children, ended or not.
#[must_use]
pub fn has_children() -> bool {
    // WNOWAIT: whoever has ended stays to be reaped.
    let options = rustix::process::WaitIdOptions::EXITED
        | rustix::process::WaitIdOptions::NOHANG
        | rustix::process::WaitIdOptions::NOWAIT;
    !matches!(rustix::process::waitid(rustix::process::WaitId::All, options), Err(rustix::io::Errno::CHILD))
}

/// Sends SIGKILL to every process but this one and the kernel's; for the end of a machine.
///
/// # Errors
/// Those of kill(2); that nobody is left is none.
pub fn kill_all() -> io::Result<()> {
    // SAFETY: kill takes numbers. As pid 1, -1 means every process but ourselves.
    let done = unsafe { libc::kill(-1, libc::SIGKILL) };
    match io::Error::last_os_error() {
        _ if done == 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}

fn strings(texts: &[String]) -> io::Result<Vec<CString>> {
    texts.iter().map(|text| CString::new(text.as_str()).map_err(io::Error::from)).collect()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// From linux/sched.h; libc's constant of that name is an int, in which it does not fit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the child has to work on; it calls the kernel and little else.
const STACK: usize = 64 * 1024;

/// Makes the child, which becomes `prepared`'s program. Comes back when it has, or has given up.
fn vfork(cgroup: Option<BorrowedFd<'_>>, prepared: &Prepared<'_>) -> io::Result<Child> {
    let mut pidfd: RawFd = -1;
    let mut stack: Vec<u128> = Vec::with_capacity(STACK / size_of::<u128>());
    // SAFETY: clone_args is a plain structure of integers, for which zero means "not used".
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = (libc::CLONE_PIDFD | libc::CLONE_VM | libc::CLONE_VFORK) as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // Of its own: what it pushes must not be what we find when we go on.
    arguments.stack = stack.as_mut_ptr() as u64;
    arguments.stack_size = STACK as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    // No handler of ours may run in the child: it would do so in our memory.
    let masked = Masked::all()?;
    let pid: i64;
    // SAFETY: in the parent this is a system call like any other. The child begins on a stack of its own, whose
    // upper end is aligned as calls want it, calls `child` and never comes back. Memory is shared, but this
    // thread does not go on before the child has executed its program or ended; what the child uses,
    // `prepared` and the stack, lives as long as this call.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => pid,
            in("rdi") &raw mut arguments,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") std::ptr::from_ref(prepared),
            in("r13") child as *const () as usize,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    drop((masked, stack));
    match i32::try_from(pid) {
        Ok(pid) if pid > 0 => {
            let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
            // SAFETY: the kernel made this descriptor for us in the call above; nobody else has it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child { pid: Pid(pid), pidfd })
        }
        Ok(errno) => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Where the child begins.
unsafe extern "C" fn child(prepared: *const Prepared<'_>) -> ! {
    // SAFETY: `vfork` hands over a reference that lives until this process has another program or none.
    let prepared = unsafe { &*prepared };
    let (step, errno) = prepared.become_program();
    prepared.give_up(step, errno)
}

/// All signals blocked in this thread, until this is dropped.
struct Masked(libc::sigset_t);

impl Masked {
    fn all() -> io::Result<Self> {
        // SAFETY: sigset_t is plain memory, filled before it is used.
        unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&raw mut all);
            match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) {
                0 => Ok(Self(before)),
                errno => Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        // SAFETY: the set is one that the kernel gave.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut());
        }
    }
}

/// All that the child needs, in memory before it exists.
struct Prepared<'a> {
    program: &'a CStr,
    argv: &'a [*const libc::c_char],
    envp: &'a [*const libc::c_char],
    oom: &'a CStr,
    null: RawFd,
    output: RawFd,
    user: Option<u32>,
    fence: Option<&'a Fence>,
    extra: Option<(RawFd, RawFd)>,
    open_files: Option<u64>,
    /// From the child: the step that failed, counted from one, and below it the errno.
    failed: AtomicU64,
}

impl Prepared<'_> {
    /// Runs in the child; comes back only with the step that failed and its errno.
    fn become_program(&self) -> (u32, i32) {
        // SAFETY: only async-signal-safe system calls on memory that `self` borrows, none of
        // which allocates or takes a lock; every pointer is to a NUL-terminated text or a
        // NULL-terminated list of such, alive until exec replaces this process.
        unsafe {
            if libc::setsid() < 0 {
                return failed(0);
            }
            // The raw call, because glibc's refuses its own two signals, which may be ignored, too.
            // The kernel's structure is four words; all zero is "default, no flags, no mask".
            let default = [0_u64; 4];
            for signal in 1..=64_i32 {
                // SIGKILL and SIGSTOP refuse, which is fine.
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), 8_usize);
            }
            let mut nothing: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut nothing);
            if libc::sigprocmask(libc::SIG_SETMASK, &raw const nothing, ptr::null_mut()) < 0 {
                return failed(1);
            }
            for (from, to) in [(self.null, 0), (self.output, 1), (self.output, 2)] {
                if libc::dup2(from, to) < 0 {
                    return failed(2);
                }
            }
            let adjust = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            let len = self.oom.count_bytes();
            if adjust < 0 || libc::write(adjust, self.oom.as_ptr().cast(), len) < 0 {
                return failed(3);
            }
            if let Some(most) = self.open_files {
                let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
                if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) < 0 {
                    return failed(4);
                }
            }
            // On exec, not now: what is handed over is still needed.
            if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) < 0 {
                return failed(5);
            }
            if let Some((from, to)) = self.extra
                && !hand_over(from, to)
            {
                return failed(10);
            }
            libc::umask(0o022);
            if libc::chdir(c"/".as_ptr()) < 0 {
                return failed(6);
            }
            if let Some(fence) = self.fence
                && !fence.apply_as_root()
            {
                return failed(9);
            }
            if let Some(id) = self.user
                && !become_user(id)
            {
                return failed(7);
            }
            if let Some(fence) = self.fence
                && !fence.apply_last(self.user.unwrap_or(0) == 0)
            {
                return failed(9);
            }
            libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr());
            failed(8)
        }
    }

    /// Runs in the child: leaves word of what failed and ends.
    fn give_up(&self, step: u32, errno: i32) -> ! {
        let word = (u64::from(step).saturating_add(1) << 32) | u64::from(errno.unsigned_abs());
        self.failed.store(word, Ordering::Release);
        // SAFETY: ends the process without touching the memory that is its parent's.
        unsafe { libc::_exit(127) }
    }

    /// Why the program never ran, if so.
    fn failure(&self) -> Option<io::Error> {
        let word = self.failed.load(Ordering::Acquire);
        let step = usize::try_from(word >> 32).ok()?.checked_sub(1)?;
        let error = io::Error::from_raw_os_error(i32::try_from(word & u64::from(u32::MAX)).unwrap_or(0));
        let doing = STEPS.get(step).copied().unwrap_or("starting");
        Some(io::Error::new(error.kind(), format!("{doing}: {error}")))
    }
}

/// Makes `from` the child's descriptor `to`, without close-on-exec.
unsafe fn hand_over(from: RawFd, to: RawFd) -> bool {
    // SAFETY: system calls on numbers.
    unsafe {
        match from == to {
            true => libc::fcntl(from, libc::F_SETFD, 0) == 0,
            false => libc::dup2(from, to) == to,
        }
    }
}

/// The kernel's own calls: libc's would have all threads of the parent, which it takes for ours, do the same.
unsafe fn become_user(id: u32) -> bool {
    // SAFETY: system calls on numbers, and on an empty list.
    unsafe {
        libc::syscall(libc::SYS_setgroups, 0_usize, ptr::null::<u32>()) == 0
            && libc::syscall(libc::SYS_setgid, id) == 0
            && libc::syscall(libc::SYS_setuid, id) == 0
    }
}

fn failed(step: u32) -> (u32, i32) {
    // SAFETY: errno's address is valid for the whole life of the thread.
    (step, unsafe { *libc::__errno_location() })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::time::Duration;

    use super::*;
    use crate::event::{Interest, Poll, pipe};
    use crate::fence::{Filter, Refuse};

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// Runs `words` to its end; reaps exactly it, since tests share a process with other children.
    fn run(words: &[&str], open_files: Option<u64>) -> (Child, i32, String) {
        run_as(words, open_files, None, None)
    }

    fn run_as(
        words: &[&str],
        open_files: Option<u64>,
        user: Option<u32>,
        fence: Option<&Fence>,
    ) -> (Child, i32, String) {
        let (read, write) = pipe().unwrap();
        let child = Spawn {
            command: &texts(words),
            environment: &texts(&["PATH=/usr/bin:/bin", "COLOUR=green"]),
            output: write.as_fd(),
            cgroup: None,
            user,
            fence,
            extra: None,
            open_files,
            oom_score_adjust: 7,
        }
        .start()
        .unwrap();
        drop(write);
        let poll = Poll::new().unwrap();
        poll.add(&child, 1, Interest::Read).unwrap();
        assert_eq!(poll.wait(Some(Duration::from_secs(10))).unwrap(), [1]);
        let (_, status) = rustix::process::waitpid(Some(child.pid.0), WaitOptions::empty()).unwrap().unwrap();
        let mut output = String::new();
        File::from(read).read_to_string(&mut output).unwrap();
        (child, status.exit_status().unwrap_or(-1), output)
    }

    #[test]
    fn a_child_gets_its_environment_and_nothing_else() {
        let (_, status, output) = run(
            &["/bin/sh", "-c", "echo $COLOUR $HOME; cat /proc/self/oom_score_adj; ulimit -n; exit 3"],
            Some(77),
        );
        assert_eq!((status, output.as_str()), (3, "green\n7\n77\n"));
    }

    #[test]
    fn a_child_starts_without_our_descriptors_signals_or_session() {
        let held = File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
        // The fourth is the directory that the shell reads to know.
        let script =
            "cd /proc/self/fd; echo *; grep '^Sig[BI]' /proc/self/status; cut -d' ' -f1,6 /proc/$$/stat";
        let (_, _, output) = run(&["/bin/sh", "-c", script], None);
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[0], "0 1 2 3");
        assert_eq!(lines[1..3], ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"]);
        let (pid, session) = lines[3].split_once(' ').unwrap();
        assert_eq!(pid, session, "it leads its own session");
    }

    #[test]
    fn a_program_that_is_not_there_is_said_so_and_leaves_nobody() {
        let null = File::open("/dev/null").unwrap();
        let spawn = |command: &[String]| {
            Spawn {
                command,
                environment: &[],
                output: null.as_fd(),
                cgroup: None,
                user: None,
                fence: None,
                extra: None,
                open_files: None,
                oom_score_adjust: 7,
            }
            .start()
        };
        let error = spawn(&texts(&["/nonexistent/program"])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), "executing the program: No such file or directory (os error 2)");
        // By the name of this thread: other tests of this process have children, too.
        let parent = format!(") Z {} ", std::process::id());
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            assert!(!(stat.contains("(process::") && stat.contains(&parent)), "{stat}");
        }
    }

    #[test]
    fn the_parent_goes_on_unharmed_while_children_come_and_go() {
        let before = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        let kept: Vec<String> = (0..100).map(|n| format!("text {n}")).collect();
        let null = File::open("/dev/null").unwrap();
        for _ in 0..50 {
            let child = Spawn {
                command: &texts(&["/bin/sh", "-c", "exit 3"]),
                environment: &[],
                output: null.as_fd(),
                cgroup: None,
                user: None,
                fence: None,
                extra: None,
                open_files: None,
                oom_score_adjust: 7,
            }
            .start()
            .unwrap();
            let (_, status) =
                rustix::process::waitpid(Some(child.pid.0), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(3));
        }
        assert!(kept.iter().enumerate().all(|(n, text)| *text == format!("text {n}")));
        assert_eq!(std::fs::read_to_string("/proc/self/oom_score_adj").unwrap(), before);
    }

    #[test]
    fn a_signal_to_an_ended_process_is_no_error_and_hits_nobody() {
        let (child, ..) = run(&["/bin/true"], None);
        child.signal(Signal::Kill).unwrap();
    }

    /// Fences are root's to build: PID 1 is. Elsewhere these tests have nothing to say.
    fn is_root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("not root: fences are not tried");
        }
        root
    }

    #[test]
    fn a_fenced_child_keeps_what_it_was_left_and_nothing_else() {
        if !is_root() {
            return;
        }
        let net_bind_service = 1 << 10;
        let fence = Fence { capabilities: net_bind_service, ..Fence::default() };
        let status = ["/bin/grep", "-E", "^(Cap(Eff|Bnd|Amb)|NoNewPrivs)", "/proc/self/status"];
        for (user, ambient) in [(None, "0000000000000000"), (Some(901), "0000000000000400")] {
            let (_, code, output) = run_as(&status, None, user, Some(&fence));
            let expected = format!(
                "CapEff:\t0000000000000400\nCapBnd:\t0000000000000400\nCapAmb:\t{ambient}\nNoNewPrivs:\t1\n"
            );
            assert_eq!((code, output), (0, expected), "user {user:?}");
        }
    }

    #[test]
    fn a_fenced_child_sees_its_own_tmp_and_writes_only_where_it_may() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = |path: &str| CString::new(path).unwrap();
        let fence = Fence {
            private_tmp: true,
            writable: vec![path(dir.path().to_str().unwrap())],
            hidden: vec![path("/root")],
            ..Fence::default()
        };
        let script = format!(
            "ls -A /tmp /root; echo x > /tmp/x && echo x > {}/x && echo x > /dev/null && echo written; touch /var/tmp/x",
            dir.path().display()
        );
        let (_, _, output) = run_as(&["/bin/sh", "-c", &script], None, None, Some(&fence));
        assert_eq!(
            output,
            "/root:\n\n/tmp:\nwritten\ntouch: cannot touch '/var/tmp/x': Read-only file system\n"
        );
    }

    #[test]
    fn a_refused_system_call_is_not_permitted_and_the_others_work() {
        if !is_root() {
            return;
        }
        let filter = Filter::refusing(Refuse::MachineAndMounts).unwrap();
        let sys_admin = 1 << 21;
        let fence = Fence { capabilities: sys_admin, filter, ..Fence::default() };
        let (_, code, output) = run_as(&["/bin/mount", "-t", "tmpfs", "x", "/mnt"], None, None, Some(&fence));
        assert!(code != 0 && output.contains("permission denied"), "{code} {output}");
        let (_, code, output) = run_as(&["/bin/echo", "fine"], None, Some(901), Some(&fence));
        assert_eq!((code, output.as_str()), (0, "fine\n"));
    }

    #[test]
    fn a_child_gets_the_descriptor_that_it_was_promised() {
        let (read, write) = pipe().unwrap();
        let (output, output_write) = pipe().unwrap();
        let child = Spawn {
            command: &texts(&["/bin/sh", "-c", "echo >&9"]),
            environment: &[],
            output: output_write.as_fd(),
            cgroup: None,
            user: None,
            fence: None,
            extra: Some((write.as_fd(), 9)),
            open_files: None,
            oom_score_adjust: 7,
        }
        .start()
        .unwrap();
        drop((write, output_write));
        rustix::process::waitpid(Some(child.pid.0), WaitOptions::empty()).unwrap();
        let mut told = String::new();
        File::from(read).read_to_string(&mut told).unwrap();
        let mut said = String::new();
        File::from(output).read_to_string(&mut said).unwrap();
        assert_eq!((told.as_str(), said.as_str()), ("\n", ""));
    }
}
