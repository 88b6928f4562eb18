//! What libFuzzer prints at its end, as figures.
//!
//! It prints for people; only what it has printed the same way for years is read, and what is not
//! there is 0. Whether the run failed is told by its exit status and by what it left, not by words.

use std::fmt;

/// How a run went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Inputs run.
    pub runs: u64,
    /// Inputs per second.
    pub per_second: u64,
    /// Edges reached.
    pub edges: u64,
    /// Edges and how often they were reached, and what was compared there.
    pub features: u64,
    /// Inputs that are worth going on from.
    pub corpus: u64,
    /// The first panic's place and words.
    pub panic: Option<String>,
    /// Whether it ran to its end.
    pub ended_well: bool,
}

impl Report {
    /// Reads the log of a run.
    pub fn read(log: &str, ended_well: bool) -> Self {
        let mut report = Self { ended_well, ..Self::default() };
        let mut lines = log.lines();
        while let Some(line) = lines.next() {
            let after = |word: &str| -> Option<u64> {
                let rest = line.split_once(word)?.1.trim_start();
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
            };
            // A crash ends the run between two of these lines, so the latest counts.
            report.edges = after(" cov: ").unwrap_or(report.edges);
            report.features = after(" ft: ").unwrap_or(report.features);
            report.corpus = after(" corp: ").unwrap_or(report.corpus);
            report.runs = after("stat::number_of_executed_units:").unwrap_or(report.runs);
            report.per_second = after("stat::average_exec_per_sec:").unwrap_or(report.per_second);
            if report.panic.is_none() && line.contains("panicked at") {
                let words = lines.next().unwrap_or_default();
                report.panic = Some(format!("{}: {words}", line.trim_end_matches(':')));
            } else if report.panic.is_none() && line.contains("ERROR: libFuzzer:") {
                report.panic = Some(line.to_owned());
            }
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, per_second, edges, features, corpus, .. } = self;
        write!(f, "{runs:>11} {per_second:>9} {edges:>7} {features:>9} {corpus:>6}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_last_lines() {
        let log = "INFO: seed corpus: files: 3\n\
            #4\tINITED cov: 10 ft: 11 corp: 3/9b exec/s: 0 rss: 40Mb\n\
            #9000\tDONE   cov: 120 ft: 345 corp: 67/8kb lim: 128 exec/s: 3000 rss: 41Mb\n\
            Done 9000 runs in 3 second(s)\n\
            stat::number_of_executed_units: 9000\n\
            stat::average_exec_per_sec:     3000\n";
        let report = Report::read(log, true);
        let expected = Report {
            runs: 9000,
            per_second: 3000,
            edges: 120,
            features: 345,
            corpus: 67,
            panic: None,
            ended_well: true,
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn a_panic_is_told_with_its_place() {
        let log = "#4\tNEW cov: 7 ft: 8 corp: 2/3b\n\nthread '<unnamed>' (3) panicked at init/src/x.rs:3:4:\n\
            attempt to add with overflow\nnote: run with\n==3== ERROR: libFuzzer: deadly signal\n";
        let report = Report::read(log, false);
        let panic = report.panic.unwrap();
        assert!(panic.contains("init/src/x.rs:3:4: attempt to add with overflow"), "{panic}");
        assert_eq!(report.edges, 7);
    }
}
