//! What a process may do, taken away between clone and exec.
//!
//! [`Fence`] is prepared by the parent, all memory and the system call filter with it; the
//! child applies it with bare system calls ([`Fence::apply_as_root`], from `launch`), since its errno is the parent's. Which service
//! gets which fence is `init`'s business.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::ptr;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use syscalls::{Errno, Sysno, syscall};

/// How many capabilities there are; a kernel that knows fewer refuses the rest, which is no harm.
const CAPABILITIES: u32 = 41;

/// System calls that change one thing of the machine: refused unless they are left to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Those that set its clock.
    Clock,
    /// Those that set its name.
    HostName,
    /// Those that make and change mounts.
    Mounts,
}

/// What is taken away from a process.
#[derive(Debug, Default)]
pub struct Fence {
    /// Capabilities that it keeps, a bit each; without root they are ambient.
    pub capabilities: u64,
    /// Whether programs with the set-user-id bit may give it more.
    pub new_privileges: bool,
    /// Whether /tmp is a file system of its own, of at most [`TMP`].
    pub private_tmp: bool,
    /// If any are listed, everything but these, /dev, /proc, /sys and /tmp is read-only.
    pub writable: Vec<CString>,
    /// Directories that are empty for it.
    pub hidden: Vec<CString>,
    /// Which system calls are refused; none by default.
    pub filter: Filter,
}

/// A system call filter, ready for the kernel.
#[derive(Debug, Default)]
pub struct Filter(BpfProgram);

/// How much a /tmp of its own holds, whose pages nobody else may need: scratch files, not data.
const TMP: &CStr = c"mode=1777,size=64m,nr_inodes=16k";

impl Calls {
    const ALL: [Self; 3] = [Self::Clock, Self::HostName, Self::Mounts];

    fn numbers(self) -> &'static [i64] {
        match self {
            Self::Clock => &[
                libc::SYS_settimeofday,
                libc::SYS_clock_settime,
                libc::SYS_clock_adjtime,
                libc::SYS_adjtimex,
            ],
            Self::HostName => &[libc::SYS_sethostname, libc::SYS_setdomainname],
            Self::Mounts => &[
                libc::SYS_mount,
                libc::SYS_umount2,
                libc::SYS_move_mount,
                libc::SYS_open_tree,
                libc::SYS_fsopen,
                libc::SYS_fsconfig,
                libc::SYS_fsmount,
                libc::SYS_fspick,
                libc::SYS_mount_setattr,
            ],
        }
    }
}

/// System calls that no fenced process has a use for: those that change the machine in other ways, that make or enter
/// namespaces, that go round paths, and io_uring, by which most others could be made past the filter.
const NOBODYS: [i64; 29] = [
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_by_handle_at,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Flags of clone(2) that make a namespace. A user namespace needs no capability, and gives all of them within: to
/// mounts, nets and whatever the kernel has in it for who has them.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

impl Filter {
    /// Answers [`NOBODYS`] calls, those of [`Calls`] but for `left`, and a clone with [`NAMESPACES`] with `EPERM`, and
    /// clone3 as a kernel that does not know it.
    ///
    /// # Errors
    /// None that the lists above can cause.
    pub fn leaving(left: &[Calls]) -> io::Result<Self> {
        let named = Calls::ALL.iter().filter(|calls| !left.contains(calls)).flat_map(|calls| calls.numbers());
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            NOBODYS.iter().chain(named).map(|call| (*call, Vec::new())).collect();
        let namespaces = NAMESPACES.map(|flag| {
            let flag = u64::from(flag.unsigned_abs());
            let is_set =
                SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
            SeccompRule::new(vec![is_set])
        });
        let namespaces: Result<Vec<_>, _> = namespaces.into_iter().collect();
        rules.insert(libc::SYS_clone, namespaces.map_err(io::Error::other)?);
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let program: BpfProgram =
            SeccompFilter::new(rules, SeccompAction::Allow, refused, TargetArch::x86_64)
                .and_then(TryInto::try_into)
                .map_err(io::Error::other)?;
        Ok(Self([&without_clone3()?[..], &program].concat()))
    }
}

/// The filter's beginning. clone3 has its flags in memory, where no filter sees them; when it is said not to be there,
/// libcs go on with clone, which has them in a register.
fn without_clone3() -> io::Result<[sock_filter; 3]> {
    // From linux/bpf_common.h: load a word at `k`; go on if it is `k`, or else over one; give back `k`.
    const LOAD: u16 = 0x20;
    const IS: u16 = 0x15;
    const GIVE: u16 = 0x06;
    let clone3 = u32::try_from(libc::SYS_clone3).map_err(io::Error::other)?;
    let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    Ok([
        sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: IS, jt: 0, jf: 1, k: clone3 },
        sock_filter { code: GIVE, jt: 0, jf: 0, k: unknown },
    ])
}

impl Fence {
    /// In the child, before it changes its user: mounts and the bounding set.
    ///
    /// # Safety
    /// Only between clone and exec, or else the calling process is fenced itself.
    pub(crate) unsafe fn apply_as_root(&self) -> Result<(), Errno> {
        // SAFETY: bare system calls on numbers and on NUL-terminated texts that `self` owns.
        unsafe {
            self.mounts()?;
            self.drop_capabilities()
        }
    }

    /// In the child, after it changed its user, if it did: what it keeps, and what it may call.
    ///
    /// # Safety
    /// As for [`Self::apply_as_root`]; nothing but exec may follow.
    pub(crate) unsafe fn apply_last(&self, is_root: bool) -> Result<(), Errno> {
        // SAFETY: bare system calls; the filter is alive until exec has copied it.
        unsafe {
            if !is_root && self.capabilities != 0 {
                self.keep_capabilities()?;
            }
            let filtered = !self.filter.0.is_empty();
            // An unprivileged process may filter itself only if it can gain nothing by exec.
            if !self.new_privileges || filtered {
                control(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
            }
            if filtered {
                let len = u16::try_from(self.filter.0.len()).map_err(|_| Errno::E2BIG)?;
                let program = libc::sock_fprog { len, filter: self.filter.0.as_ptr().cast_mut().cast() };
                syscall!(Sysno::seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)?;
            }
            Ok(())
        }
    }

    unsafe fn mounts(&self) -> Result<(), Errno> {
        if !self.private_tmp && self.writable.is_empty() && self.hidden.is_empty() {
            return Ok(());
        }
        let slave = libc::MS_REC | libc::MS_SLAVE;
        // SAFETY: see `apply_as_root`.
        unsafe {
            // Slave: it sees what the machine mounts later, and the machine nothing of what it does.
            syscall!(Sysno::unshare, libc::CLONE_NEWNS)?;
            mount(c"none", c"/", None, slave, None)?;
            if !self.writable.is_empty() {
                for path in &self.writable {
                    mount(path, path, None, libc::MS_BIND | libc::MS_REC, None)?;
                }
                set_read_only(c"/", true)?;
                for path in [c"/dev", c"/proc", c"/sys", c"/tmp"] {
                    match set_read_only(path, false) {
                        // What is no file system of its own stays as the root is.
                        Err(Errno::EINVAL) => {}
                        done => done?,
                    }
                }
                for path in &self.writable {
                    set_read_only(path, false)?;
                }
            }
            let flags = libc::MS_NOSUID | libc::MS_NODEV;
            if self.private_tmp {
                mount(c"tmpfs", c"/tmp", Some(c"tmpfs"), flags, Some(TMP))?;
            }
            let flags = flags | libc::MS_RDONLY | libc::MS_NOEXEC;
            for path in &self.hidden {
                mount(c"tmpfs", path, Some(c"tmpfs"), flags, None)?;
            }
            Ok(())
        }
    }

    unsafe fn drop_capabilities(&self) -> Result<(), Errno> {
        // SAFETY: prctl with numbers.
        unsafe {
            for capability in (0..CAPABILITIES).filter(|bit| self.capabilities >> bit & 1 == 0) {
                control(libc::PR_CAPBSET_DROP, capability, 0)?;
            }
            // Or a change of user would take along those that are kept.
            if self.capabilities != 0 {
                control(libc::PR_SET_KEEPCAPS, 1, 0)?;
            }
            Ok(())
        }
    }

    unsafe fn keep_capabilities(&self) -> Result<(), Errno> {
        // From linux/capability.h: version 3 has two structures of 32 bits each.
        const VERSION_3: u32 = 0x2008_0522;
        #[allow(clippy::cast_possible_truncation, reason = "each half is meant")]
        let halves = {
            let known = self.capabilities & ((1 << CAPABILITIES) - 1);
            [known as u32, (known >> 32) as u32]
        };
        let header = [VERSION_3, 0];
        let [low, high] = halves;
        let sets = [low, low, low, high, high, high];
        // SAFETY: the kernel reads two and six words, which is what these are; prctl takes numbers.
        unsafe {
            syscall!(Sysno::capset, header.as_ptr(), sets.as_ptr())?;
            for bit in (0..CAPABILITIES).filter(|bit| self.capabilities >> bit & 1 == 1) {
                control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE.unsigned_abs(), bit)?;
            }
            Ok(())
        }
    }
}

unsafe fn control(what: i32, first: u32, second: u32) -> Result<(), Errno> {
    // SAFETY: prctl with numbers.
    unsafe { syscall!(Sysno::prctl, what, first, second, 0, 0) }.map(drop)
}

unsafe fn mount(
    source: &CStr,
    target: &CStr,
    kind: Option<&CStr>,
    flags: u64,
    data: Option<&CStr>,
) -> Result<(), Errno> {
    let [kind, data] = [kind, data].map(|text| text.map_or(ptr::null(), CStr::as_ptr));
    // SAFETY: NUL-terminated texts, or NULL where mount(2) allows it.
    unsafe { syscall!(Sysno::mount, source.as_ptr(), target.as_ptr(), kind, flags, data) }.map(drop)
}

unsafe fn set_read_only(path: &CStr, read_only: bool) -> Result<(), Errno> {
    const READ_ONLY: u64 = 1;
    let (set, clear) = if read_only { (READ_ONLY, 0) } else { (0, READ_ONLY) };
    // struct mount_attr: set, clear, propagation, user namespace.
    let attributes: [u64; 4] = [set, clear, 0, 0];
    let (flags, size) = (libc::AT_RECURSIVE, size_of_val(&attributes));
    // SAFETY: the structure is of the length that is given, the path NUL-terminated.
    let set = unsafe {
        syscall!(Sysno::mount_setattr, libc::AT_FDCWD, path.as_ptr(), flags, attributes.as_ptr(), size)
    };
    set.map(drop)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Has `what` done by a thread with this filter, which ends with it. It takes no root to have less.
    fn filtered<A: Send + 'static>(left: &[Calls], what: impl FnOnce() -> A + Send + 'static) -> A {
        let fence = Fence { filter: Filter::leaving(left).unwrap(), ..Fence::default() };
        let thread = thread::spawn(move || {
            // SAFETY: the kernel copies the filter, and only this thread has it.
            unsafe { fence.apply_last(true) }.unwrap();
            what()
        });
        thread.join().unwrap()
    }

    /// What the kernel says to a call that it would not obey either way.
    macro_rules! answer {
        ($($argument:expr),*) => {
            // SAFETY: numbers and NULL, of which the kernel makes nothing: it refuses them, or the filter does.
            unsafe { syscall!($($argument),*) }.unwrap_err()
        };
    }

    #[test]
    fn a_fenced_process_comes_by_no_namespace_by_whatever_call() {
        filtered(&Calls::ALL, || {
            for namespace in NAMESPACES {
                // Handlers are shared only with memory: the kernel itself would say EINVAL, and never makes a child.
                let flags = namespace | libc::CLONE_SIGHAND;
                assert_eq!(answer!(Sysno::clone, flags, 0, 0, 0, 0), Errno::EPERM, "{namespace:x}");
            }
            assert_eq!(answer!(Sysno::clone, libc::CLONE_SIGHAND, 0, 0, 0, 0), Errno::EINVAL);
            assert_eq!(answer!(Sysno::clone3, 0, 0), Errno::ENOSYS);
            assert_eq!(answer!(Sysno::unshare, u32::MAX), Errno::EPERM);
            assert_eq!(answer!(Sysno::setns, u32::MAX, 0), Errno::EPERM);
        });
    }

    #[test]
    fn threads_and_children_are_made_all_the_same() {
        let made = filtered(&[], || {
            let child = Command::new("/bin/sh").args(["-c", "/bin/true | /bin/true"]).status().unwrap();
            thread::spawn(|| 7).join().unwrap() == 7 && child.success()
        });
        assert!(made);
    }

    #[test]
    fn no_call_goes_past_the_filter_in_a_ring() {
        filtered(&Calls::ALL, || assert_eq!(answer!(Sysno::io_uring_setup, 0, 0), Errno::EPERM));
    }

    #[test]
    fn what_is_left_to_a_process_is_judged_by_the_kernel_and_what_is_not_by_the_filter() {
        let ask = || {
            // A clock that nobody has, and an operation that umount2(2) does not know.
            (answer!(Sysno::clock_adjtime, 99, 0), answer!(Sysno::umount2, 0, u32::MAX))
        };
        assert_eq!(filtered(&[], ask), (Errno::EPERM, Errno::EPERM));
        assert_eq!(filtered(&[Calls::Clock], ask).1, Errno::EPERM);
        assert_eq!(filtered(&[Calls::Mounts], ask), (Errno::EPERM, Errno::EINVAL));
        assert_ne!(filtered(&[Calls::Clock], ask).0, Errno::EPERM);
    }
}
