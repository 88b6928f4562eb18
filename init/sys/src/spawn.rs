//! Starting a process: what it is to be, made ready for the kernel in one go.
//!
//! [`Spawn::start`] is clone3 with a pidfd and straight into a cgroup, so that no child is ever
//! unknown or outside. What the child does until its program runs is [`crate::launch`]'s; a child
//! that cannot execute it says why through a pipe of its own, read by [`Child::failure`].

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, OnceLock};

use rustix::pipe::PipeFlags;

use crate::fence::Fence;
use crate::launch::{Launch, Words};
use crate::process::Child;

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
    pub fence: Option<&'a Arc<Fence>>,
    /// A descriptor that it gets, and under which number.
    pub extra: Option<(BorrowedFd<'a>, u8)>,
    /// RLIMIT_NOFILE, soft and hard; ours without it.
    pub open_files: Option<u64>,
    /// `oom_score_adj`, which it would inherit from us.
    pub oom_score_adjust: i16,
}

impl Spawn<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// Those of pipe2(2), open(2), mmap(2) and clone3(2), and NUL bytes in what was handed in.
    pub fn start(&self) -> io::Result<Child> {
        // Both ends may be non-blocking: what is written into it is eight bytes, once.
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (failure, failure_write) = rustix::pipe::pipe_with(flags)?;
        let launch = Launch {
            command: Words::of(self.command)?,
            environment: Words::of(self.environment)?,
            oom: self.oom()?,
            null: null()?,
            output: self.output.as_raw_fd(),
            failure: failure_write.as_raw_fd(),
            user: self.user,
            groups: self.groups.to_vec(),
            fence: self.fence.cloned(),
            extra: self.extra.map(|(descriptor, number)| (descriptor.as_raw_fd(), RawFd::from(number))),
            open_files: self.open_files,
        };
        let (pid, pidfd, lent) = launch.begin(self.cgroup)?;
        Ok(Child { pid, pidfd, failure, report: None, closed: false, lent })
    }

    /// What the child has to write as its `oom_score_adj`: nothing where ours is the same, since that is inherited.
    fn oom(&self) -> io::Result<Option<CString>> {
        let differs = self.oom_score_adjust != own_oom_score_adjust()?;
        Ok(differs.then(|| CString::new(self.oom_score_adjust.to_string())).transpose()?)
    }
}

/// Our own `oom_score_adj`: read once, since we never change it.
fn own_oom_score_adjust() -> io::Result<i16> {
    static OWN: OnceLock<i16> = OnceLock::new();
    match OWN.get() {
        Some(own) => Ok(*own),
        None => {
            let text = std::fs::read_to_string("/proc/self/oom_score_adj")?;
            let own = text.trim().parse().map_err(io::Error::other)?;
            Ok(*OWN.get_or_init(|| own))
        }
    }
}

/// What children read from instead of a terminal: opened once, and kept.
fn null() -> io::Result<RawFd> {
    static NULL: OnceLock<File> = OnceLock::new();
    match NULL.get() {
        Some(null) => Ok(null.as_raw_fd()),
        None => {
            let opened = File::open("/dev/null")?;
            Ok(NULL.get_or_init(|| opened).as_raw_fd())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use rustix::process::WaitOptions;

    use super::*;
    use crate::event::{Interest, Poll, pipe};
    use crate::fence::Filter;
    use crate::process::Signal;

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
        fence: Option<&Arc<Fence>>,
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
        let (_, status) =
            rustix::process::waitpid(Some(child.pid.rustix()), WaitOptions::empty()).unwrap().unwrap();
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

    /// Fences are root's to build: PID 1 is. Elsewhere these tests have nothing to say, and do so (xtask's `tally`).
    fn is_root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            let _ = writeln!(std::io::stdout(), "\nSKIPPED: not root, so that no fence is built");
        }
        root
    }

    #[test]
    fn a_fenced_child_keeps_what_it_was_left_and_nothing_else() {
        if !is_root() {
            return;
        }
        let net_bind_service = 1 << 10;
        let fence = Arc::new(Fence { capabilities: net_bind_service, ..Fence::default() });
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
        let fence = Arc::new(Fence {
            private_tmp: true,
            writable: vec![path(dir.path().to_str().unwrap())],
            hidden: vec![path("/root")],
            ..Fence::default()
        });
        let script = format!(
            "ls -A /tmp /root; echo x > /tmp/x && echo x > {}/x && echo x > /dev/null && echo written; touch /var/tmp/x; \
             head -c 65M /dev/zero > /tmp/x; stat -c %s:%a /tmp/x /tmp",
            dir.path().display()
        );
        let (mut child, _, output) = run_as(&["/bin/sh", "-c", &script], None, None, Some(&fence));
        let failure = child.failure();
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(
            output,
            "/root:\n\n/tmp:\nwritten\ntouch: cannot touch '/var/tmp/x': Read-only file system\n\
             head: error writing 'standard output': No space left on device\n67108864:644\n60:1777\n"
        );
    }

    #[test]
    fn a_refused_system_call_is_not_permitted_and_the_others_work() {
        if !is_root() {
            return;
        }
        let filter = Filter::leaving(&[]).unwrap();
        let sys_admin = 1 << 21;
        let fence = Arc::new(Fence { capabilities: sys_admin, filter, ..Fence::default() });
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
        rustix::process::waitpid(Some(child.pid.rustix()), WaitOptions::empty()).unwrap();
        let mut told = String::new();
        File::from(read).read_to_string(&mut told).unwrap();
        let mut said = String::new();
        File::from(output).read_to_string(&mut said).unwrap();
        assert_eq!((told.as_str(), said.as_str()), ("\n", ""));
    }

    /// A child that only sleeps.
    fn sleeper(oom_score_adjust: i16) -> Child {
        let (_, write) = pipe().unwrap();
        Spawn {
            command: &texts(&["/bin/sleep", "9"]),
            environment: &[],
            output: write.as_fd(),
            cgroup: None,
            user: None,
            groups: &[],
            fence: None,
            extra: None,
            open_files: None,
            oom_score_adjust,
        }
        .start()
        .unwrap()
    }

    #[test]
    fn children_that_start_at_once_have_their_own_score_each() {
        let own = own_oom_score_adjust().unwrap();
        // Raising it takes no rights.
        let children: Vec<(Child, i16)> =
            (0..20).flat_map(|_| [own, own + 7, own, own + 8].map(|score| (sleeper(score), score))).collect();
        for (mut child, score) in children {
            while child.was_executed().is_none() {
                std::thread::yield_now();
            }
            let found = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", child.pid.as_raw()));
            child.signal(Signal::Kill).unwrap();
            rustix::process::waitpid(Some(child.pid.rustix()), WaitOptions::empty()).unwrap();
            assert_eq!(found.unwrap().trim(), score.to_string());
        }
    }

    #[test]
    fn what_a_child_reads_is_kept_until_it_has_let_go_of_our_memory() {
        let mut child = sleeper(0);
        let kept = child.lent.is_kept();
        let poll = Poll::new().unwrap();
        poll.add(child.failure_pipe(), 1, Interest::Read).unwrap();
        assert_eq!(poll.wait(Some(Duration::from_secs(10))).unwrap(), [1]);
        assert_eq!(child.was_executed(), Some(true));
        assert!(kept && !child.lent.is_kept());
        child.signal(Signal::Kill).unwrap();
        rustix::process::waitpid(Some(child.pid.rustix()), WaitOptions::empty()).unwrap();
    }
}
