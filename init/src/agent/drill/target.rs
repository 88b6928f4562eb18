//! Which process of a service is its main one.
//!
//! Beside it there may be probes, workers and, with containerd, shims that must live on.
//! The main one was started by PID 1 with the words of the service's spec. Pure.

/// A process of the service's control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its command line.
    pub words: Vec<String>,
}

/// The main process of a service that is started with `exec`, if it is running.
pub(super) fn main_process<'a>(processes: &'a [Process], exec: &[String]) -> Option<&'a Process> {
    processes.iter().find(|process| is_main(process, exec))
}

/// Whether this is it.
pub(super) fn is_main(process: &Process, exec: &[String]) -> bool {
    process.parent == 1 && process.words.starts_with(exec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, words: &str) -> Process {
        Process { pid, parent, words: words.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn neither_a_probe_nor_a_shim_nor_a_worker_is_the_main_process() {
        let exec = ["/usr/bin/containerd".to_owned(), "--config".to_owned(), "/c".to_owned()];
        let processes = [
            process(30, 1, "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io"),
            process(40, 1, "/usr/sbin/init probe unix /run/containerd/containerd.sock"),
            process(41, 35, "/usr/bin/containerd --config /c"),
            process(35, 1, "/usr/bin/containerd --config /c"),
        ];
        assert_eq!(main_process(&processes, &exec).map(|process| process.pid), Some(35));
    }

    #[test]
    fn a_service_that_is_down_has_no_main_process() {
        assert_eq!(main_process(&[], &["/usr/bin/etcd".to_owned()]), None);
    }
}
