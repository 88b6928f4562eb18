//! Walks /proc once, a moment after the machine came up, and tells PID 1 the sum.
//!
//! This process is in the sum, too, though it is gone right after: so the figure is on the
//! safe side. A process that ends while it is looked at is left out.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::sum::{self, Sum};
use crate::agent::notify::Notifier;

/// The last probes end, and agents give back what they needed to start.
const SETTLE: Duration = Duration::from_secs(2);

/// Why nothing is known about our memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryAgentError {
    /// There is no /proc.
    #[error("listing /proc: {0}")]
    List(io::Error),
    /// The kernel does not tell, not even about this process.
    #[error("reading /proc/self/smaps_rollup: the kernel tells no PSS")]
    NoPss,
}

/// Runs the agent: measures, tells, ends.
///
/// # Errors
/// [`MemoryAgentError`].
pub fn run() -> Result<(), MemoryAgentError> {
    thread::sleep(SETTLE);
    let sum = measure(Path::new("/proc"))?;
    Notifier::from_environment().status(&sum.line());
    Ok(())
}

fn measure(proc: &Path) -> Result<Sum, MemoryAgentError> {
    let mut found = Sum::default();
    for entry in fs::read_dir(proc).map_err(MemoryAgentError::List)?.flatten() {
        if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if let Some((name, kib)) = process(&entry.path()) {
            found.add(name, kib);
        }
    }
    // At least this process is ours.
    if found == Sum::default() { Err(MemoryAgentError::NoPss) } else { Ok(found) }
}

/// A process of ours and its KiB; none when it is somebody else's, or gone.
fn process(directory: &Path) -> Option<(String, u64)> {
    let program = fs::read_link(directory.join("exe")).ok()?;
    let line = fs::read(directory.join("cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let arguments: Vec<&str> = line.split('\0').collect();
    let name = sum::name(&program.to_string_lossy(), &arguments)?;
    Some((name, sum::pss(&fs::read_to_string(directory.join("smaps_rollup")).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn fake(proc: &Path, pid: &str, program: &str, line: &str, pss: Option<u64>) {
        let directory = proc.join(pid);
        fs::create_dir(&directory).unwrap();
        symlink(program, directory.join("exe")).unwrap();
        fs::write(directory.join("cmdline"), line).unwrap();
        if let Some(pss) = pss {
            fs::write(directory.join("smaps_rollup"), format!("Pss: {pss} kB\n")).unwrap();
        }
    }

    #[test]
    fn the_sum_is_over_our_processes_that_are_still_there() {
        let proc = tempfile::tempdir().unwrap();
        fake(proc.path(), "1", "/usr/sbin/init", "/usr/sbin/init\0", Some(2048));
        fake(proc.path(), "40", "/usr/sbin/init", "/usr/sbin/init\0agent\0pki\0", Some(1024));
        fake(proc.path(), "41", "/usr/sbin/init", "/usr/sbin/init\0agent\0gone\0", None);
        fake(proc.path(), "50", "/usr/bin/etcd", "etcd\0", Some(90_000));
        fake(proc.path(), "self", "/usr/sbin/init", "/usr/sbin/init\0", Some(7));
        assert_eq!(measure(proc.path()).unwrap().line(), "own processes 3.0 MiB (init 2.0, pki 1.0)");
    }

    #[test]
    fn a_kernel_that_tells_nothing_is_an_error_and_not_a_zero() {
        let proc = tempfile::tempdir().unwrap();
        assert!(matches!(measure(proc.path()), Err(MemoryAgentError::NoPss)));
        assert!(matches!(measure(Path::new("/nonexistent")), Err(MemoryAgentError::List(_))));
    }

    #[test]
    fn this_kernel_tells_the_pss_of_this_process() {
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        assert!(sum::pss(&rollup).unwrap() > 100, "{rollup}");
    }
}
