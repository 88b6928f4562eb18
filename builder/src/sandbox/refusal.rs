//! Why a host refuses user namespaces, and what to do about it.
//!
//! Distributions forbid them by different switches; the reading of each is given in, so that
//! every text is tested without such a host. [`of_host`] reads this host's.

use std::fs;

use nix::errno::Errno;

/// The switches by which hosts forbid user namespaces; `None` where the host has no such switch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Switches {
    /// `user.max_user_namespaces`
    limit: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian)
    clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu)
    apparmor: Option<u64>,
}

/// What to tell people when `doing` failed with `errno`.
pub(super) fn of_host(doing: &str, errno: Errno) -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok();
    let switches = Switches {
        limit: read("user/max_user_namespaces"),
        clone: read("kernel/unprivileged_userns_clone"),
        apparmor: read("kernel/apparmor_restrict_unprivileged_userns"),
    };
    explain(doing, errno, &switches)
}

fn explain(doing: &str, errno: Errno, switches: &Switches) -> String {
    let advice = if switches.limit == Some(0) {
        "this host forbids user namespaces; an administrator allows them with `sysctl user.max_user_namespaces=15000`"
    } else if switches.clone == Some(0) {
        "this host forbids user namespaces to ordinary users; an administrator allows them with \
         `sysctl kernel.unprivileged_userns_clone=1`"
    } else if switches.apparmor == Some(1) {
        "this host's AppArmor restricts user namespaces of ordinary users; an administrator allows them with \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
    } else {
        "this host forbids user namespaces and none of the known switches (sysctl user.max_user_namespaces, \
         kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns) says so: in a container, \
         its seccomp profile does (it needs unshare and mount, and an unmasked /proc)"
    };
    format!("{doing}: {}; {advice}, or build as root", errno.desc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_switch_that_is_off() {
        let by_limit = Switches { limit: Some(0), ..Switches::default() };
        assert!(explain("unsharing", Errno::ENOSPC, &by_limit).contains("user.max_user_namespaces=15000"));
        let by_debian = Switches { limit: Some(9), clone: Some(0), ..Switches::default() };
        assert!(explain("unsharing", Errno::EPERM, &by_debian).contains("unprivileged_userns_clone=1"));
        let by_ubuntu = Switches { limit: Some(9), apparmor: Some(1), ..Switches::default() };
        assert!(
            explain("mounting", Errno::EACCES, &by_ubuntu)
                .contains("apparmor_restrict_unprivileged_userns=0")
        );
    }

    #[test]
    fn a_refusal_without_a_known_switch_still_says_where_to_look() {
        let text = explain("unsharing", Errno::EPERM, &Switches::default());
        assert!(text.starts_with("unsharing: Operation not permitted"), "{text}");
        assert!(text.contains("container") && text.contains("as root"), "{text}");
    }
}
