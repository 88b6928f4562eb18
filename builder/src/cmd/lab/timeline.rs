//! `slipway lab timeline`: one line per machine, from power-on to up and Ready.
//!
//! The milestones are what the machine itself wrote, by its own clock; only Ready is seen from outside, when the API
//! first said so to `slipway lab up`. What our own processes take of a machine's memory stands behind its milestones.

use anyhow::Result;
use serde_json::json;

use super::note::Note;
use super::status::stories;
use super::story::Story;
use super::{Which, labs};
use crate::cmd::Context;

/// Runs the verb.
///
/// # Errors
/// There is no such lab.
pub fn run(which: &Which, context: &Context) -> Result<()> {
    let labs = labs()?;
    let name = which.choose(&labs)?;
    let dir = labs.dir(&name);
    let stories = stories(&dir)?;
    let ready = Note::read(&dir).map(|note| note.ready).unwrap_or_default();
    if context.json {
        let machines = stories.iter().map(|(machine, story)| {
            json!({ "machine": machine, "marks": story.marks, "up": story.up, "ready": ready.get(machine),
                "own-memory": story.own_memory })
        });
        println!("{}", json!({ "lab": name, "machines": machines.collect::<Vec<_>>() }));
        return Ok(());
    }
    for (machine, story) in &stories {
        println!("{}", line(machine, story, ready.get(machine).copied()));
    }
    Ok(())
}

/// "w1: root verified 0.30, PID 1 0.35, …, up 9.80, Ready 11.2 (seconds since power-on)".
fn line(machine: &str, story: &Story, ready: Option<f64>) -> String {
    let mut marks: Vec<String> =
        story.marks.iter().map(|mark| format!("{} {:.2}", mark.what, mark.seconds)).collect();
    if let Some(ready) = ready {
        marks.push(format!("Ready {ready:.1}"));
    }
    if marks.is_empty() {
        return format!("{machine}: nothing reached");
    }
    let own = story.own_memory.as_ref();
    let own = own.map_or_else(String::new, |own| format!("; own processes {:.1} MiB", own.mib));
    format!("{machine}: {} (seconds since power-on){own}", marks.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_line_has_its_milestones_in_order_and_ends_with_ready() {
        let story = Story::of("slipway[0.35] machine: started, role worker\nslipway[9.8] machine: up\n");
        assert_eq!(
            line("w1", &story, Some(11.23)),
            "w1: PID 1 0.35, up 9.80, Ready 11.2 (seconds since power-on)"
        );
        assert_eq!(line("w1", &Story::default(), None), "w1: nothing reached");
        let story =
            Story::of("slipway[9.8] machine: up\nslipway[12] machine: own processes 3.0 MiB (init 3.0)\n");
        let line = line("w1", &story, None);
        assert_eq!(line, "w1: up 9.80 (seconds since power-on); own processes 3.0 MiB");
    }
}
