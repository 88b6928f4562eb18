//! Which processes are ours, and what they take together.
//!
//! Pure over the texts of /proc. Counted is PSS, in which a page that several processes share
//! counts for each by its part only: all our processes but `pause` are the same program, and
//! resident sizes would count its text once for each of them.

use std::collections::BTreeMap;

/// Our program, in all its roles on a machine.
const INIT: &str = "/usr/sbin/init";
/// What holds a pod's namespaces, as seen in the pod's own root.
const PAUSE: &str = "/pause";

/// What one process is called in the sum, by its program and its arguments; none when it is not ours.
#[must_use]
pub fn name(program: &str, arguments: &[&str]) -> Option<String> {
    // A program that was replaced on disk while it runs.
    let program = program.strip_suffix(" (deleted)").unwrap_or(program);
    match (program, arguments) {
        (PAUSE, _) => Some("pause".to_owned()),
        (INIT, [_, "agent", name, ..]) => Some((*name).to_owned()),
        (INIT, [_, "probe", ..]) => Some("probe".to_owned()),
        (INIT, _) => Some("init".to_owned()),
        _ => None,
    }
}

/// PSS in KiB out of a `smaps_rollup`.
#[must_use]
pub fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// KiB by name; processes of one name are added up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sum(BTreeMap<String, u64>);

impl Sum {
    /// Adds a process.
    pub fn add(&mut self, name: String, kib: u64) {
        let sum = self.0.entry(name).or_default();
        *sum = sum.saturating_add(kib);
    }

    /// "own processes 9.8 MiB (init 2.1, config 1.4)", the largest first.
    #[must_use]
    pub fn line(&self) -> String {
        let total = self.0.values().fold(0_u64, |sum, kib| sum.saturating_add(*kib));
        let mut parts: Vec<(&String, &u64)> = self.0.iter().collect();
        parts.sort_by_key(|(name, kib)| (std::cmp::Reverse(**kib), *name));
        let parts: Vec<String> =
            parts.into_iter().map(|(name, kib)| format!("{name} {}", mib(*kib))).collect();
        format!("own processes {} MiB ({})", mib(total), parts.join(", "))
    }
}

/// MiB with one place, rounded.
fn mib(kib: u64) -> String {
    let tenths = kib.saturating_mul(10).saturating_add(512) / 1024;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_programs_are_ours() {
        let name = |program, arguments: &[&str]| name(program, arguments);
        assert_eq!(name("/usr/sbin/init", &["/usr/sbin/init"]).as_deref(), Some("init"));
        assert_eq!(name("/usr/sbin/init", &["init", "agent", "pki"]).as_deref(), Some("pki"));
        assert_eq!(
            name("/usr/sbin/init (deleted)", &["init", "probe", "tcp", "x"]).as_deref(),
            Some("probe")
        );
        assert_eq!(name("/pause", &["/pause"]).as_deref(), Some("pause"));
        assert_eq!(name("/usr/bin/kubelet", &["kubelet", "agent", "pki"]), None);
        assert_eq!(name("", &[]), None, "a kernel thread");
    }

    #[test]
    fn pss_is_read_from_its_own_line() {
        let rollup = "00400000-7fff [rollup]\nRss:    2048 kB\nPss:    1234 kB\nPss_Dirty:  99 kB\n";
        assert_eq!(pss(rollup), Some(1234));
        assert_eq!(pss("Rss: 2048 kB\n"), None);
        assert_eq!(pss("Pss: lots\n"), None);
        assert_eq!(pss(""), None);
    }

    #[test]
    fn the_line_has_the_total_and_the_largest_first() {
        let mut sum = Sum::default();
        for (name, kib) in [("config", 1434), ("init", 2150), ("pause", 200), ("pause", 210), ("pki", 1434)] {
            sum.add(name.to_owned(), kib);
        }
        assert_eq!(sum.line(), "own processes 5.3 MiB (init 2.1, config 1.4, pki 1.4, pause 0.4)");
    }
}
