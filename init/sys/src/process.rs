//! Processes: starting one, signalling it, learning how it ended.
//!
//! [`Spawn::start`] is clone3 with a pidfd and straight into a cgroup, so that no child is ever
//! unknown or outside. Between clone and exec the child does nothing but system calls on
//! memory that was prepared before: the parent may hold any lock. A child that cannot exec
//! says why through a pipe of its own, read by [`Child::failure`] once it has ended.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

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
    /// Groups beside its own; none of ours.
    pub groups: &'a [u32],
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
    pub(crate) failure: OwnedFd,
    pub(crate) report: Option<[u8; 8]>,
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
    /// Starts it.
    ///
    /// # Errors
    /// Those of pipe2(2), open(2) and clone3(2), and NUL bytes in what was handed in.
    pub fn start(&self) -> io::Result<Child> {
        let command = strings(self.command)?;
        let environment = strings(self.environment)?;
        let program = command.first().ok_or(io::ErrorKind::InvalidInput)?;
        let argv = pointers(&command);
        let envp = pointers(&environment);
        let oom = CString::new(self.oom_score_adjust.to_string())?;
        let null = std::fs::File::options().read(true).open("/dev/null")?;
        let (failure, failure_write) = crate::event::pipe()?;
        let prepared = Prepared {
            program,
            argv: &argv,
            envp: &envp,
            oom: &oom,
            null: null.as_raw_fd(),
            output: self.output.as_raw_fd(),
            failure: failure_write.as_raw_fd(),
            user: self.user,
            groups: self.groups,
            fence: self.fence,
            extra: self.extra.map(|(descriptor, number)| (descriptor.as_raw_fd(), RawFd::from(number))),
            open_files: self.open_files,
        };
        match clone_into(self.cgroup)? {
            Cloned::Child => {
                let (step, errno) = prepared.become_program();
                prepared.report(step, errno)
            }
            Cloned::Parent { pid, pidfd } => Ok(Child { pid, pidfd, failure, report: None }),
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

    /// Can be read once its program was executed, or could not be.
    #[must_use]
    pub fn failure_pipe(&self) -> BorrowedFd<'_> {
        self.failure.as_fd()
    }

    /// Whether its program was executed; none while that is not known.
    pub fn was_executed(&mut self) -> Option<bool> {
        let mut report = [0; 8];
        match crate::event::read_now(&self.failure, &mut report) {
            _ if self.report.is_some() => Some(false),
            Ok(None) => None,
            Ok(Some(len)) if len == report.len() => {
                self.report = Some(report);
                Some(false)
            }
            Ok(Some(_)) | Err(_) => Some(true),
        }
    }

    /// Why its program never ran, if so; to be asked once it has ended.
    #[must_use]
    pub fn failure(&mut self) -> Option<io::Error> {
        self.was_executed();
        let [a, b, c, d, e, f, g, h] = self.report?;
        let step = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let error = io::Error::from_raw_os_error(i32::from_ne_bytes([e, f, g, h]));
        let doing = STEPS.get(step).copied().unwrap_or("starting");
        Some(io::Error::new(error.kind(), format!("{doing}: {error}")))
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

enum Cloned {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

fn clone_into(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is a plain structure of integers, for which zero means "not used".
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = libc::CLONE_PIDFD as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    // SAFETY: no memory is shared (no CLONE_VM), so this is fork with two more results; the
    // structure and `pidfd` outlive the call. The child only makes system calls (`become_program`).
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    match i32::try_from(pid) {
        Ok(0) => Ok(Cloned::Child),
        Ok(pid) if pid > 0 => {
            let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
            // SAFETY: the kernel made this descriptor for us in the call above; nobody else has it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid: Pid(pid), pidfd })
        }
        _ => Err(io::Error::last_os_error()),
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
    failure: RawFd,
    user: Option<u32>,
    groups: &'a [u32],
    fence: Option<&'a Fence>,
    extra: Option<(RawFd, RawFd)>,
    open_files: Option<u64>,
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
            // On exec, not now: the failure pipe is still needed.
            if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) < 0 {
                return failed(5);
            }
            if let Some((from, to)) = self.extra
                && !hand_over(from, to, self.failure)
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
                && (libc::setgroups(self.groups.len(), self.groups.as_ptr()) < 0
                    || libc::setgid(id) < 0
                    || libc::setuid(id) < 0)
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

    /// Runs in the child: says what failed and ends.
    fn report(&self, step: u32, errno: i32) -> ! {
        let [a, b, c, d] = step.to_ne_bytes();
        let [e, f, g, h] = errno.to_ne_bytes();
        let report = [a, b, c, d, e, f, g, h];
        // SAFETY: system calls on a descriptor of ours and on bytes on the stack.
        unsafe {
            libc::write(self.failure, report.as_ptr().cast(), report.len());
            libc::_exit(127)
        }
    }
}

/// Makes `from` the child's descriptor `to`, unless the failure pipe is there; without close-on-exec.
unsafe fn hand_over(from: RawFd, to: RawFd, failure: RawFd) -> bool {
    // SAFETY: system calls on numbers.
    unsafe {
        match from == to {
            _ if failure == to => false,
            true => libc::fcntl(from, libc::F_SETFD, 0) == 0,
            false => libc::dup2(from, to) == to,
        }
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
            groups: if user.is_some() { &[950, 951] } else { &[] },
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
        let (mut child, status, output) = run(
            &["/bin/sh", "-c", "echo $COLOUR $HOME; cat /proc/self/oom_score_adj; ulimit -n; exit 3"],
            Some(77),
        );
        assert_eq!((status, output.as_str()), (3, "green\n7\n77\n"));
        assert!(child.failure().is_none());
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
    fn a_program_that_is_not_there_is_said_so() {
        let (mut child, status, _) = run(&["/nonexistent/program"], None);
        assert_eq!(status, 127);
        let failure = child.failure().unwrap();
        assert_eq!(failure.to_string(), "executing the program: No such file or directory (os error 2)");
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
    fn a_child_is_in_its_own_group_and_in_those_it_was_given() {
        if !is_root() {
            return;
        }
        let groups = ["/bin/grep", "-E", "^(Gid|Groups)", "/proc/self/status"];
        let (_, code, output) = run_as(&groups, None, Some(901), None);
        let output: Vec<&str> = output.split_whitespace().collect();
        assert_eq!((code, output), (0, vec!["Gid:", "901", "901", "901", "901", "Groups:", "950", "951"]));
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
        let (mut child, _, output) = run_as(&["/bin/sh", "-c", &script], None, None, Some(&fence));
        let failure = child.failure();
        assert!(failure.is_none(), "{failure:?}");
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
        let (mut child, code, output) = run_as(&["/bin/echo", "fine"], None, Some(901), Some(&fence));
        let failure = child.failure();
        assert!(failure.is_none(), "{failure:?}");
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
            groups: &[],
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
