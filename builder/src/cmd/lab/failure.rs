//! Why a lab did not come up, in words that somebody can act upon.
//!
//! Pure: what the lab says of a machine's process and what the machine's console told go in;
//! out comes whether waiting is still of use, and a text with the machine's name, its last
//! words, where the rest of them is, and what to type next. Looking is `watch`'s.

use std::path::PathBuf;

use lab::{CRASH_WINDOW, MachineStatus, Off, PowerState};

use super::status::services;
use super::story::Story;

/// Boots that a machine may begin without ever being up. A panic restarts a machine in place under QEMU, so that
/// nothing but its console shows that it never gets anywhere.
const BOOTS_WITHOUT_UP: u32 = 4;

/// Why nobody needs to wait for this machine any longer; none while it may still come up.
#[must_use]
pub fn hopeless(status: &MachineStatus, story: &Story) -> Option<String> {
    let name = &status.name;
    let how = status.last_crash.as_deref().unwrap_or("nobody knows how");
    match (status.power, status.off_because) {
        (PowerState::Off, Some(Off::GaveUp)) if status.starts == 0 => {
            Some(format!("{name} could not be started: {how}"))
        }
        (PowerState::Off, Some(Off::GaveUp)) => Some(format!(
            "{name} crashed too often within {} s and was left off; it was started {} times, and the last one {how}",
            CRASH_WINDOW.as_secs(),
            status.starts
        )),
        (PowerState::Off, Some(Off::PoweredOff)) => Some(format!("{name} switched itself off")),
        (PowerState::Off, Some(Off::Asked)) => Some(format!("{name} was switched off by somebody")),
        // The lab is about to switch it on.
        (PowerState::Off, Some(Off::NotStarted) | None) => None,
        (PowerState::On | PowerState::Stopping, _) => {
            let in_circles = story.boots >= BOOTS_WITHOUT_UP && !story.was_up;
            in_circles.then(|| format!("{name} has booted {} times and was never up", story.boots))
        }
    }
}

/// A machine as it was seen last.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its console told.
    pub story: &'a Story,
    /// The console's last lines.
    pub tail: Vec<&'a str>,
    /// Where the console is kept.
    pub console: PathBuf,
}

/// The whole text. `culprit` is the machine that it is about; without one it is about all that are late.
#[must_use]
pub fn text(lab: &str, why: &str, culprit: Option<&str>, seen: &[Seen<'_>], nodes: &[String]) -> String {
    let mut text = why.to_owned();
    let is_about = |machine: &&Seen<'_>| match culprit {
        Some(culprit) => machine.name == culprit,
        None => machine.story.up.is_none(),
    };
    for machine in seen.iter().filter(is_about) {
        text.push_str(&last_words(machine));
    }
    if culprit.is_some() {
        for machine in seen.iter().filter(|machine| !is_about(machine)) {
            text.push_str(&format!("\n{}", state(machine)));
        }
    }
    for node in nodes {
        text.push_str(&format!("\n{node}"));
    }
    // The first one is the one to look at first.
    let first = seen.iter().find(is_about).or(seen.first()).map_or("", |machine| machine.name);
    text.push_str(&format!(
        "\nnext: slipway lab console {lab}/{first}\n      slipway lab timeline {lab}\n      slipway lab up {lab}  (keeps these \
         consoles and tries again)"
    ));
    text
}

fn last_words(machine: &Seen<'_>) -> String {
    let mut text = format!("\n{}", state(machine));
    if machine.tail.is_empty() {
        text.push_str("\n  its console is empty");
    } else {
        text.push_str("\n  its console ends with");
    }
    for line in &machine.tail {
        text.push_str(&format!("\n    {line}"));
    }
    text.push_str(&format!("\n  all of it: {}", machine.console.display()));
    text
}

/// "w1: is w1 of cluster demo (5 of 7, waiting for kubelet); problem: no config disk".
fn state(machine: &Seen<'_>) -> String {
    let story = machine.story;
    let stage = if story.stage.is_empty() { "has said nothing" } else { &story.stage };
    let mut line = format!("{}: {stage}", machine.name);
    let services = services(story);
    if !services.is_empty() {
        line.push_str(&format!(" ({services})"));
    }
    if let Some(problem) = &story.problem {
        line.push_str(&format!("; problem: {problem}"));
    } else if let Some(problem) = &story.problem_before {
        line.push_str(&format!("; problem of the boot before: {problem}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(power: PowerState, off_because: Option<Off>, starts: u32) -> MachineStatus {
        MachineStatus {
            name: "w1".to_owned(),
            power,
            off_because,
            pid: None,
            starts,
            last_crash: Some("killed by signal 6".to_owned()),
            on_for_ms: None,
            mac: lab::Mac([2; 6]),
            address: std::net::Ipv4Addr::LOCALHOST,
            console: PathBuf::from("/x/w1/console.log"),
        }
    }

    const PANIC: &str = "lab: power on, start 1\nKernel panic - not syncing: VFS\n";

    #[test]
    fn a_machine_that_is_off_is_not_waited_for() {
        let why = |off, starts| hopeless(&status(PowerState::Off, off, starts), &Story::default());
        let crashed = why(Some(Off::GaveUp), 6).unwrap();
        assert!(
            crashed.contains("w1 crashed too often within 60 s") && crashed.contains("signal 6"),
            "{crashed}"
        );
        assert!(why(Some(Off::GaveUp), 0).unwrap().contains("could not be started"));
        assert!(why(Some(Off::PoweredOff), 1).unwrap().contains("switched itself off"));
        assert_eq!(why(Some(Off::NotStarted), 0), None);
    }

    #[test]
    fn a_machine_that_boots_in_circles_is_not_waited_for_unless_it_was_up_once() {
        let on = status(PowerState::On, None, 1);
        assert_eq!(hopeless(&on, &Story::of(&PANIC.repeat(3))), None);
        let why = hopeless(&on, &Story::of(&PANIC.repeat(4))).unwrap();
        assert_eq!(why, "w1 has booted 4 times and was never up");
        let once_up = format!("slipway[9.0] machine: up\n{}", PANIC.repeat(5));
        assert_eq!(hopeless(&on, &Story::of(&once_up)), None);
    }

    #[test]
    fn the_text_has_the_name_the_last_words_the_log_and_the_next_command() {
        let (story, fine) = (Story::of(&PANIC.repeat(2)), Story::of("slipway[9.0] machine: up\n"));
        let seen =
            |name, story, tail| Seen { name, story, tail, console: format!("/x/{name}/console.log").into() };
        let seen = [seen("lb1", &fine, vec![]), seen("w1", &story, vec!["not syncing: VFS"])];
        let text = text("demo", "w1 crashed", Some("w1"), &seen, &[]);
        assert_eq!(
            text,
            "w1 crashed\n\
             w1: power on; problem: kernel panic: not syncing: VFS\n  its console ends with\n    not syncing: VFS\n  \
             all of it: /x/w1/console.log\nlb1: up\nnext: slipway lab console demo/w1\n      slipway lab timeline demo\n      \
             slipway lab up demo  (keeps these consoles and tries again)"
        );
    }

    #[test]
    fn a_restart_does_not_hide_why_it_was_needed() {
        let story = Story::of(&format!("{PANIC}lab: power on, start 2\n"));
        let seen = [Seen { name: "w1", story: &story, tail: vec![], console: "/x".into() }];
        let text = text("demo", "not up after 9 s", None, &seen, &["node w1 is not Ready".to_owned()]);
        assert!(text.contains("problem of the boot before: kernel panic: not syncing: VFS"), "{text}");
        assert!(text.contains("\nnode w1 is not Ready\n"), "{text}");
    }
}
