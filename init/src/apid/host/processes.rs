//! One process from its texts below /proc.
//!
//! `stat` for most of it, `status` for its user, `cgroup` for the service that it belongs to, `cmdline` for its words.
//! Formats: proc(5).

use node_api::reply::Process;

use super::number_of;
use crate::cgroup;
use crate::text::one_line;

/// What the kernel counts a process's time in, per second; fixed in its interface to programs.
const TICKS_PER_SECOND: u64 = 100;
/// What the kernel counts memory in.
const PAGE_BYTES: u64 = 4096;
/// The longest command line that is shown, in characters.
const COMMAND_MAX: usize = 4096;

/// The texts of a process.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// /proc/PID/stat
    pub stat: &'a str,
    /// /proc/PID/status
    pub status: &'a str,
    /// /proc/PID/cgroup
    pub cgroup: &'a str,
    /// /proc/PID/cmdline
    pub cmdline: &'a [u8],
}

/// Reads them.
#[must_use]
pub fn parse(texts: Texts<'_>) -> Option<Process> {
    // The name is in parentheses and may hold any of them: the last one ends it.
    let (pid, rest) = texts.stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Numbered as in proc(5), where the state is field 3.
    let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
    let number = |n: usize| field(n)?.parse::<u64>().ok();
    let ms = |ticks: u64| ticks.saturating_mul(1000 / TICKS_PER_SECOND);
    Some(Process {
        pid: pid.parse().ok()?,
        parent: field(4)?.parse().ok()?,
        user: number_of(texts.status, "Uid")?.try_into().ok()?,
        state: field(3)?.to_owned(),
        service: cgroup::service(texts.cgroup).map(str::to_owned),
        threads: field(20)?.parse().ok()?,
        resident_bytes: number(24)?.saturating_mul(PAGE_BYTES),
        cpu_ms: ms(number(14)?.saturating_add(number(15)?)),
        started_ms: ms(number(22)?),
        name: name.to_owned(),
        command: command(texts.cmdline),
    })
}

fn command(bytes: &[u8]) -> String {
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let text = words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    one_line(&text, COMMAND_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "412 (a) b (c) S 1 412 412 0 -1 4194560 1 2 3 4 250 150 0 0 20 0 9 0 1234 5000 77 0\n";

    fn texts() -> Texts<'static> {
        Texts {
            stat: STAT,
            status: "Name:\tx\nUid:\t901\t901\t901\t901\n",
            cgroup: "0::/slipway/kubelet/deeper\n",
            cmdline: b"/usr/bin/kubelet\0--config\0/a b\0",
        }
    }

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let process = parse(texts()).unwrap();
        assert_eq!((process.pid, process.parent, process.user, process.threads), (412, 1, 901, 9));
        assert_eq!((process.name.as_str(), process.state.as_str()), ("a) b (c", "S"));
        assert_eq!((process.cpu_ms, process.started_ms), (4000, 12_340));
        assert_eq!(process.resident_bytes, 77 * 4096);
        assert_eq!(process.service.as_deref(), Some("kubelet"));
        assert_eq!(process.command, "/usr/bin/kubelet --config /a b");
    }

    #[test]
    fn a_process_outside_of_services_belongs_to_none() {
        for cgroup in ["0::/init\n", "0::/kubepods/x\n", "", "0::/slipway\n", "0::/slipwayx/y\n"] {
            assert_eq!(parse(Texts { cgroup, ..texts() }).unwrap().service, None, "{cgroup}");
        }
    }

    #[test]
    fn half_a_text_is_no_process() {
        for length in 0..STAT.len() - 10 {
            let _ = parse(Texts { stat: &STAT[..length], ..texts() });
        }
        assert!(parse(Texts { stat: "412 (a) S 1", ..texts() }).is_none());
    }
}
