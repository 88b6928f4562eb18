//! /proc/cpuinfo with the line that the kubelet cannot do without.
//!
//! cAdvisor gives up without a `cpu MHz` line, and some kernels (User-mode Linux) have none.
//! Decided by its absence, never by asking where we run.

/// A clock speed that says nothing: nobody schedules by it.
const LINE: &str = "cpu MHz\t\t: 1000.000";

/// The file's content with the line added for each processor; none when it is there already.
pub(super) fn mended(cpuinfo: &str) -> Option<String> {
    if cpuinfo.lines().any(|line| line.starts_with("cpu MHz")) {
        return None;
    }
    let mut text = String::new();
    for line in cpuinfo.lines() {
        text.push_str(line);
        text.push('\n');
        if line.starts_with("processor") {
            text.push_str(LINE);
            text.push('\n');
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_gets_a_clock_speed() {
        let text = mended("processor\t: 0\nmode\t\t: skas\n\nprocessor\t: 1\nmode\t\t: skas\n").unwrap();
        assert_eq!(text.matches("cpu MHz\t\t: 1000.000\n").count(), 2);
        assert!(text.starts_with("processor\t: 0\ncpu MHz"));
        assert_eq!(mended(&text), None);
    }

    #[test]
    fn a_kernel_that_knows_its_speed_is_believed() {
        assert_eq!(mended("processor\t: 0\ncpu MHz\t\t: 2900.0\n"), None);
    }
}
