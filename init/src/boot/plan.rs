//! What PID 1 mounts, links and sets before the first service, in this order.
//!
//! Tables only. Whatever is `Optional` may be missing from a kernel: User-mode Linux has no
//! pstore, and a kernel without IPv6 has no such sysctls.

use node_sys::mount::Options;

/// Whether a machine is worth starting without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Its absence is a problem to tell.
    Required,
    /// Its absence is nobody's problem.
    Optional,
}

/// A file system of the kernel's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mount {
    pub(super) kind: &'static str,
    pub(super) target: &'static str,
    pub(super) options: Options,
    pub(super) data: &'static str,
    pub(super) need: Need,
}

const NO_SUID_NO_EXEC: Options = Options { read_only: false, no_suid: true, no_dev: false, no_exec: true };
const NO_SUID_NO_DEV: Options = Options { read_only: false, no_suid: true, no_dev: true, no_exec: false };

const fn required(kind: &'static str, target: &'static str, options: Options, data: &'static str) -> Mount {
    Mount { kind, target, options, data, need: Need::Required }
}

const fn optional(kind: &'static str, target: &'static str) -> Mount {
    Mount { kind, target, options: Options::DATA, data: "", need: Need::Optional }
}

/// In this order: later ones lie inside earlier ones. The root itself comes read-only from stage 1.
pub(super) const MOUNTS: [Mount; 13] = [
    required("proc", "/proc", Options::DATA, ""),
    required("sysfs", "/sys", Options::DATA, ""),
    required("devtmpfs", "/dev", NO_SUID_NO_EXEC, "mode=0755"),
    required("devpts", "/dev/pts", NO_SUID_NO_EXEC, "gid=5,mode=0620,ptmxmode=0666"),
    required("tmpfs", "/dev/shm", Options::DATA, "mode=1777"),
    optional("mqueue", "/dev/mqueue"),
    // Programs run from here: runc copies itself, containers' root file systems are below it.
    required("tmpfs", "/run", NO_SUID_NO_DEV, "mode=0755,size=25%"),
    required("tmpfs", "/tmp", Options::DATA, "mode=1777,size=25%"),
    required("cgroup2", "/sys/fs/cgroup", Options::DATA, "nsdelegate,memory_recursiveprot"),
    optional("bpf", "/sys/fs/bpf"),
    optional("securityfs", "/sys/kernel/security"),
    optional("pstore", "/sys/fs/pstore"),
    optional("fusectl", "/sys/fs/fuse/connections"),
];

/// Where a mount point is not there before: below file systems of ours.
pub(super) const MOUNT_POINTS: [&str; 3] = ["/dev/pts", "/dev/shm", "/dev/mqueue"];

/// Links in /dev that programs expect, and the kernel does not make.
pub(super) const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Directories on /run that links of the image point to, or that several services share.
pub(super) const DIRECTORIES: [&str; 4] =
    ["/run/slipway", "/run/slipway/etc", "/run/slipway/overlays", "/run/lock"];

/// Kernel settings, by their path below /proc/sys.
pub(super) const SYSCTLS: [(&str, &str, Need); 30] = [
    // The kubelet refuses to start with others (protectKernelDefaults).
    ("vm/overcommit_memory", "1", Need::Required),
    ("vm/panic_on_oom", "0", Need::Required),
    ("kernel/panic", "10", Need::Required),
    ("kernel/panic_on_oops", "1", Need::Required),
    // Whoever sees a machine hang can have its kernel say where, into pstore, by the button on its board.
    ("kernel/unknown_nmi_panic", "1", Need::Optional),
    ("kernel/keys/root_maxkeys", "1000000", Need::Required),
    ("kernel/keys/root_maxbytes", "25000000", Need::Required),
    // Pods are reached through the node.
    ("net/ipv4/ip_forward", "1", Need::Required),
    ("net/ipv6/conf/all/forwarding", "1", Need::Optional),
    ("net/bridge/bridge-nf-call-iptables", "1", Need::Optional),
    ("net/bridge/bridge-nf-call-ip6tables", "1", Need::Optional),
    // kube-proxy answers for addresses that no interface has; strict filtering would drop the answers.
    ("net/ipv4/conf/all/rp_filter", "0", Need::Required),
    ("net/ipv4/conf/default/rp_filter", "0", Need::Required),
    // A Service without a pod refuses by ICMP. With a limit per pod, a resolver that tries its search list hears
    // nothing at the seventh try and waits out its five seconds. The limit for the whole machine stays.
    ("net/ipv4/icmp_ratelimit", "0", Need::Optional),
    ("net/netfilter/nf_conntrack_max", "262144", Need::Optional),
    // Every pod's runtime and log follower takes some: the defaults are a desktop's.
    ("fs/inotify/max_user_instances", "8192", Need::Required),
    ("fs/inotify/max_user_watches", "524288", Need::Required),
    ("fs/file-max", "9223372036854775807", Need::Required),
    ("kernel/pid_max", "4194304", Need::Required),
    ("kernel/threads-max", "524288", Need::Optional),
    ("vm/max_map_count", "262144", Need::Required),
    ("net/core/somaxconn", "32768", Need::Required),
    // Or the very messages of a failing boot are rate-limited away.
    ("kernel/printk_devkmsg", "on", Need::Optional),
    // Less to see and to reach for whoever breaks out of a container.
    ("kernel/kptr_restrict", "2", Need::Optional),
    ("kernel/dmesg_restrict", "1", Need::Optional),
    ("kernel/unprivileged_bpf_disabled", "1", Need::Optional),
    ("fs/protected_hardlinks", "1", Need::Optional),
    ("fs/protected_symlinks", "1", Need::Optional),
    ("fs/protected_fifos", "2", Need::Optional),
    ("fs/protected_regular", "2", Need::Optional),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_comes_after_the_one_it_lies_in() {
        for (at, mount) in MOUNTS.iter().enumerate() {
            let inside = MOUNTS.iter().enumerate().filter(|(_, outer)| {
                outer.target != mount.target && mount.target.starts_with(&format!("{}/", outer.target))
            });
            for (outer_at, outer) in inside {
                assert!(outer_at < at, "{} before {}", outer.target, mount.target);
            }
        }
    }

    #[test]
    fn no_setting_is_made_twice() {
        let mut paths: Vec<&str> = SYSCTLS.iter().map(|(path, ..)| *path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), SYSCTLS.len());
    }
}
