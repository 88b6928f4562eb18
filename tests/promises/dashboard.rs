//! `slipway dashboard` shows a running cluster on a real terminal, follows what happens, and gives the terminal back.
//!
//! The only verb that is looked at instead of read: on the cluster that `cluster` booted, with
//! a screen in memory, and keys.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::node::Asker;
use e2e::terminal::Terminal;
use e2e::wait;
use libtest_mimic::Trial;

use crate::cluster::{Shared, on_cluster, patience};

/// How long leaving may take, on a machine that is busy.
const LEAVING: Duration = Duration::from_secs(30);
/// The machine that something is done to, and how often `→` is pressed to see it.
const LAST: (&str, usize) = ("w2", 4);

/// This module's tests.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("the_dashboard_shows_a_cluster_live_and_gives_the_terminal_back", || on_cluster(shows))]
}

/// The lines inside the frame whose title begins with `title`.
fn below(lines: &[String], title: &str) -> Result<Vec<String>> {
    let place = |(row, line): (usize, &String)| {
        let (before, after) = line.split_once(title)?;
        // The frame's corner and a space are before the title.
        let left = before.chars().count().checked_sub(2)?;
        let width = 2 + title.chars().count() + after.chars().position(|c| c == '┐')?;
        Some((row, left, width))
    };
    let found = lines.iter().enumerate().find_map(place);
    let (row, left, width) =
        found.with_context(|| format!("there is no {title:?} in\n{}", lines.join("\n")))?;
    let inside =
        lines.iter().skip(row + 1).map(|line| line.chars().skip(left).take(width).collect::<String>());
    Ok(inside.take_while(|line| !line.starts_with('└')).collect())
}

/// Waits until the part of the screen below `title` has a line with all of `words`.
fn shown(terminal: &Terminal, title: &str, words: &[&str]) -> Result<()> {
    wait::until(&format!("{words:?} is shown below {title:?}"), patience(), || {
        let part = below(&terminal.lines(), title)?;
        let has = |line: &String| words.iter().all(|word| line.contains(word));
        ensure!(part.iter().any(has), "it shows\n{}", part.join("\n"));
        Ok(())
    })
}

fn shows(shared: &Shared) -> Result<()> {
    let made = shared.cluster.made();
    let asker = Asker::new(&made);
    let mut terminal = Terminal::start(&["dashboard", "--cluster", &made.to_string_lossy()])?;
    for (machine, role) in
        [("lb1", "lb"), ("etcd1", "etcd"), ("cp1", "control-plane"), ("w1", "worker"), ("w2", "worker")]
    {
        shown(&terminal, "cluster ", &[machine, role, " up ", " services "])?;
    }
    ensure!(terminal.is_taken_over(), "it draws where a person's lines were");
    ensure!(!terminal.is_as_before()?, "keys are shown where it draws");
    // The first machine, then the last one.
    shown(&terminal, "services of lb1", &["haproxy", "ready"])?;
    shown(&terminal, "events of lb1", &["haproxy"])?;
    let (machine, times) = LAST;
    terminal.press(&"\x1b[C".repeat(times))?;
    let [services, logs, events] = ["services", "logs", "events"].map(|part| format!("{part} of {machine}"));
    shown(&terminal, &services, &["kubelet", "ready"])?;
    shown(&terminal, &logs, &["kubelet"])?;
    let none_yet = below(&terminal.lines(), &events)?;
    ensure!(!none_yet.iter().any(|line| line.contains("kube-proxy") && line.contains("off")), "{none_yet:?}");
    // It follows: a service that is stopped is off before anybody asks again.
    asker.one(machine, &["services", "stop", "kube-proxy"])?;
    let followed = shown(&terminal, &services, &["kube-proxy", "off"])
        .and_then(|()| shown(&terminal, &events, &["kube-proxy", "off"]));
    asker.one(machine, &["services", "start", "kube-proxy"])?;
    followed?;
    shown(&terminal, &services, &["kube-proxy", "ready"])?;
    // And back by the other key.
    terminal.press("\x1b[Z")?;
    shown(&terminal, "services of w1", &["kubelet", "ready"])?;
    terminal.press("q")?;
    let status = terminal.end(LEAVING)?;
    ensure!(status.success(), "it ended with {status}\n{}", terminal.lines().join("\n"));
    ensure!(terminal.is_as_before()?, "the terminal still reads keys as the dashboard does");
    wait::until("the screen is a person's again", LEAVING, || {
        ensure!(!terminal.is_taken_over(), "it is the dashboard's");
        Ok(())
    })
}
