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

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use syscalls::{Errno, Sysno, syscall};

/// How many capabilities there are; a kernel that knows fewer refuses the rest, which is no harm.
const CAPABILITIES: u32 = 41;

/// Which system calls are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuse {
    /// None.
    Nothing,
    /// Those that change the machine itself.
    Machine,
    /// Those, and what makes or changes mounts and namespaces.
    MachineAndMounts,
}

/// What is taken away from a process.
#[derive(Debug, Default)]
pub struct Fence {
    /// Capabilities that it keeps, a bit each; without root they are ambient.
    pub capabilities: u64,
    /// Whether programs with the set-user-id bit may give it more.
    pub new_privileges: bool,
    /// Whether /tmp is a file system of its own.
    pub private_tmp: bool,
    /// If any are listed, everything but these, /dev, /proc, /sys and /tmp is read-only.
    pub writable: Vec<CString>,
    /// Directories that are empty for it.
    pub hidden: Vec<CString>,
    /// Which system calls are refused.
    pub filter: Filter,
}

/// A system call filter, ready for the kernel.
#[derive(Debug, Default)]
pub struct Filter(BpfProgram);

/// System calls that change the machine; nobody but PID 1 and its agents has a use for them.
const MACHINE: [i64; 27] = [
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
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
];

/// System calls that make or change mounts and namespaces. clone3 is not among them: threads are
/// made by it, and a namespace needs a capability that such a process lacks.
const MOUNTS: [i64; 14] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
];

impl Filter {
    /// Answers these system calls with `EPERM`.
    ///
    /// # Errors
    /// None that the lists above can cause.
    pub fn refusing(refuse: Refuse) -> io::Result<Self> {
        let calls: Vec<i64> = match refuse {
            Refuse::Nothing => return Ok(Self::default()),
            Refuse::Machine => MACHINE.to_vec(),
            Refuse::MachineAndMounts => MACHINE.iter().chain(&MOUNTS).copied().collect(),
        };
        let rules: BTreeMap<i64, Vec<_>> = calls.into_iter().map(|call| (call, Vec::new())).collect();
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, refused, TargetArch::x86_64)
            .and_then(TryInto::try_into)
            .map(Self)
            .map_err(io::Error::other)
    }
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
            mount(c"none", c"/", None, slave)?;
            if !self.writable.is_empty() {
                for path in &self.writable {
                    mount(path, path, None, libc::MS_BIND | libc::MS_REC)?;
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
                mount(c"tmpfs", c"/tmp", Some(c"tmpfs"), flags)?;
            }
            let flags = flags | libc::MS_RDONLY | libc::MS_NOEXEC;
            for path in &self.hidden {
                mount(c"tmpfs", path, Some(c"tmpfs"), flags)?;
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

unsafe fn mount(source: &CStr, target: &CStr, kind: Option<&CStr>, flags: u64) -> Result<(), Errno> {
    let kind = kind.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: NUL-terminated texts, or NULL where mount(2) allows it.
    unsafe { syscall!(Sysno::mount, source.as_ptr(), target.as_ptr(), kind, flags, 0) }.map(drop)
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
