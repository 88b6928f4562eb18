//! Memory, load and pressure, from /proc/meminfo, /proc/loadavg and /proc/pressure.
//!
//! Pressure is the kernel's own measure of time lost by waiting; a kernel that is built without it has no such files,
//! and then there is nothing to say.

use node_api::reply::{Memory, Pressure};

use super::number_of;

/// Reads /proc/meminfo.
#[must_use]
pub fn memory(text: &str) -> Memory {
    let bytes = |key: &str| number_of(text, key).unwrap_or(0).saturating_mul(1024);
    Memory { total_bytes: bytes("MemTotal"), available_bytes: bytes("MemAvailable") }
}

/// Reads /proc/loadavg.
#[must_use]
pub fn load(text: &str) -> [f64; 3] {
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(0.0));
    [0, 1, 2].map(|_| numbers.next().unwrap_or(0.0))
}

/// Reads one of /proc/pressure.
#[must_use]
pub fn pressure(resource: &str, text: &str) -> Option<Pressure> {
    let line = |kind: &str| text.lines().find(|line| line.starts_with(kind));
    let value = |line: Option<&str>, key: &str| -> Option<f64> {
        line?.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    };
    let total = |line: Option<&str>| -> Option<u64> {
        line?.split_whitespace().find_map(|word| word.strip_prefix("total=")?.parse().ok())
    };
    let (some, full) = (line("some"), line("full"));
    Some(Pressure {
        resource: resource.to_owned(),
        some_percent: value(some, "avg10")?,
        // Older kernels do not say it of the CPU.
        full_percent: value(full, "avg10").unwrap_or(0.0),
        some_us: total(some)?,
        full_us: total(full).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_with_and_without_its_second_line() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=5\n";
        let read = pressure("io", text).unwrap();
        assert_eq!((read.some_percent, read.full_percent, read.some_us, read.full_us), (1.5, 0.25, 77, 5));
        assert_eq!(pressure("cpu", text.lines().next().unwrap()).unwrap().full_us, 0);
        assert!(pressure("cpu", "").is_none());
    }

    #[test]
    fn memory_and_load_are_read() {
        let text = "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\n";
        assert_eq!(memory(text), Memory { total_bytes: 1_024_000, available_bytes: 614_400 });
        assert_eq!(load("0.50 1.00 2.25 1/99 1234\n"), [0.5, 1.0, 2.25]);
        assert_eq!(load(""), [0.0; 3]);
    }
}
