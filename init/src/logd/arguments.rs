//! What logd is told by its words: nothing on a machine, everything in a test or a bench.
//!
//! `--pipe FD=NAME[,LINES-PER-SECOND,BURST,DISK-MIB]` (any number of them), `--memory DIR`,
//! `--disk DIR`, `--socket PATH`, `--kernel DEVICE`, `--console DEVICE`, `--boot ID`. With pipes of its own it asks nobody for any,
//! takes the disk as there, and ends when all pipes have.

use std::path::PathBuf;

use super::keeper::DiskIs;
use super::query;
use super::record::BootId;

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Pipes; PID 1 is asked if there are none.
    pub pipes: Vec<String>,
    /// The rings in memory.
    pub memory: PathBuf,
    /// The rings on disk.
    pub disk: PathBuf,
    /// When they may be used.
    pub disk_is: DiskIs,
    /// Where readers are served.
    pub socket: PathBuf,
    /// The kernel's log.
    pub kernel: Option<PathBuf>,
    /// Who stands at the machine.
    pub console: Option<PathBuf>,
    /// Which boot this is to be; the kernel's without it.
    pub boot: Option<BootId>,
}

/// Reads the words; `None` for what is none of them.
#[must_use]
pub fn parse(words: &[String]) -> Option<Arguments> {
    let mut arguments = Arguments {
        pipes: Vec::new(),
        memory: "/run/slipway/logd".into(),
        disk: "/var/log/slipway".into(),
        disk_is: DiskIs::ThereOnceMounted,
        socket: query::SOCKET.into(),
        kernel: words.is_empty().then(|| "/dev/kmsg".into()),
        console: words.is_empty().then(|| "/dev/console".into()),
        boot: None,
    };
    for pair in words.chunks(2) {
        let [word, value] = pair else { return None };
        match word.as_str() {
            "--pipe" => arguments.pipes.push(value.clone()),
            "--memory" => arguments.memory = value.into(),
            "--disk" => (arguments.disk, arguments.disk_is) = (value.into(), DiskIs::There),
            "--socket" => arguments.socket = value.into(),
            "--kernel" => arguments.kernel = Some(value.into()),
            "--console" => arguments.console = Some(value.into()),
            "--boot" => arguments.boot = Some(BootId::parse(value)?),
            _ => return None,
        }
    }
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn on_a_machine_nothing_is_said() {
        let arguments = parse(&[]).unwrap();
        assert!(arguments.pipes.is_empty());
        assert_eq!(arguments.disk_is, DiskIs::ThereOnceMounted);
        assert_eq!(arguments.kernel, Some("/dev/kmsg".into()));
    }

    #[test]
    fn a_bench_says_everything() {
        let arguments = parse(&words("--pipe 3=a --pipe 4=b --disk /d --memory /m --socket /s")).unwrap();
        assert_eq!(arguments.pipes, ["3=a", "4=b"]);
        assert_eq!((arguments.disk_is, arguments.kernel), (DiskIs::There, None));
        assert_eq!(parse(&words("--pipe")), None);
        assert_eq!(parse(&words("--colour yes")), None);
    }
}
