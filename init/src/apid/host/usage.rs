//! What a service's control group has used, from the kernel's files in it.
//!
//! A controller that is not there counts nothing, and what it would have counted is zero; a group that is not there
//! at all has no usage. Formats: the kernel's cgroup-v2 document.

use node_api::reply::Usage;

use super::number_of;
use crate::cgroup;

/// The files of a group that are read, as they are named.
pub const FILES: [&str; 6] =
    ["cpu.stat", "memory.current", "memory.peak", "memory.events", "io.stat", "pids.current"];

/// Reads them; `file` gives each one's text, if it is there.
pub fn usage(file: impl Fn(&str) -> Option<String>) -> Option<Usage> {
    let number = |name: &str| file(name)?.trim().parse().ok();
    let cpu = file("cpu.stat")?;
    let io = file("io.stat").unwrap_or_default();
    Some(Usage {
        cpu_us: number_of(&cpu, "usage_usec").unwrap_or(0),
        memory_bytes: number("memory.current").unwrap_or(0),
        memory_peak_bytes: number("memory.peak"),
        read_bytes: sum(&io, "rbytes="),
        written_bytes: sum(&io, "wbytes="),
        tasks: number("pids.current").unwrap_or(0),
        oom_kills: file("memory.events").map_or(0, |text| cgroup::oom_kills(&text)),
    })
}

/// A line per disk.
fn sum(text: &str, key: &str) -> u64 {
    text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_whatever_controllers_it_has() {
        let whole = |name: &str| {
            let text = match name {
                "cpu.stat" => "usage_usec 1500\nuser_usec 1000\n",
                "memory.current" => "4096\n",
                "memory.peak" => "8192\n",
                "memory.events" => "low 0\noom 2\noom_kill 1\noom_group_kill 0\n",
                "io.stat" => "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n",
                "pids.current" => "3\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let expected = Usage {
            cpu_us: 1500,
            memory_bytes: 4096,
            memory_peak_bytes: Some(8192),
            read_bytes: 11,
            written_bytes: 22,
            tasks: 3,
            oom_kills: 1,
        };
        assert_eq!(usage(whole), Some(expected));
        assert!(FILES.iter().all(|name| whole(name).is_some()));
        let only_cpu = |name: &str| (name == "cpu.stat").then(|| "usage_usec 7\n".to_owned());
        assert_eq!(usage(only_cpu), Some(Usage { cpu_us: 7, ..Usage::default() }));
        assert_eq!(usage(|_| None), None);
    }
}
