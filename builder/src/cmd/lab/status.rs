//! `slipway lab status`: what each machine is doing, as its power and its console tell.
//!
//! Power comes from the supervisor, all else from the consoles, so a lab that has stopped still shows how far it came.
//! The JSON form is what tests read.

use anyhow::{Context as _, Result};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use lab::{Error, LabDir, LabStatus, PowerState};
use serde_json::{Value, json};

use super::note::{Note, kubeconfig_path};
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
    let status = match labs.open(&name) {
        Ok(mut client) => Some(client.status()?),
        Err(Error::NotRunning(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let stories = stories(&dir)?;
    let note = Note::read(&dir).ok();
    if context.json {
        println!("{}", report(&name, &dir, status.as_ref(), &stories, note.as_ref())?);
    } else {
        print(&name, &dir, status.as_ref(), &stories, note.as_ref());
    }
    Ok(())
}

/// The story of every machine, in the lab's order.
pub fn stories(dir: &LabDir) -> Result<Vec<(String, Story)>> {
    let spec = dir.read_spec()?;
    let mut stories = Vec::new();
    for machine in &spec.machines {
        let path = dir.console(&machine.name);
        // A machine that was never switched on has no console.
        let bytes = std::fs::read(&path).unwrap_or_default();
        stories.push((machine.name.clone(), Story::of(&String::from_utf8_lossy(&bytes))));
    }
    Ok(stories)
}

/// Everything, for machines.
pub fn report(
    name: &str,
    dir: &LabDir,
    status: Option<&LabStatus>,
    stories: &[(String, Story)],
    note: Option<&Note>,
) -> Result<Value> {
    let mut machines = Vec::new();
    for (machine, story) in stories {
        let power = status.and_then(|status| status.machines.iter().find(|known| known.name == *machine));
        machines.push(json!({
            "name": machine,
            "power": serde_json::to_value(power).context("writing down the lab's state")?,
            "story": serde_json::to_value(story).context("writing down the lab's state")?,
            "console": dir.console(machine),
        }));
    }
    Ok(json!({
        "name": name,
        "directory": dir.path(),
        "running": status.is_some(),
        "driver": status.map(|status| status.driver.as_str()),
        "supervisor": status.map(|status| status.pid),
        "forwards": status.map(|status| serde_json::to_value(&status.forwards)).transpose().context("writing down the lab's state")?,
        "cables": status.map(|status| serde_json::to_value(&status.cables)).transpose().context("writing down the lab's state")?,
        "kubeconfig": kubeconfig_path(dir),
        "failure": note.and_then(|note| note.failure.as_deref()),
        "ready": note.map(|note| &note.ready),
        "machines": machines,
    }))
}

fn print(
    name: &str,
    dir: &LabDir,
    status: Option<&LabStatus>,
    stories: &[(String, Story)],
    note: Option<&Note>,
) {
    match status {
        Some(status) => {
            let seconds = status.up_for_ms / 1000;
            println!("lab {name}: running for {seconds} s, {}, supervisor {}", status.driver, status.pid);
            for forward in &status.forwards {
                println!("{} {} is {} here", forward.name, forward.target, forward.host);
            }
        }
        None => println!("lab {name}: stopped; its consoles are in {}", dir.path().display()),
    }
    if let Some(failure) = note.and_then(|note| note.failure.as_deref()) {
        println!("it did not come up: {}", failure.lines().next().unwrap_or_default());
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["MACHINE", "POWER", "STAGE", "SERVICES", "UP", "PROBLEM"]);
    for (machine, story) in stories {
        let known = status.and_then(|status| status.machines.iter().find(|known| known.name == *machine));
        let power = match known.map(|known| known.power) {
            Some(PowerState::On) => "on",
            Some(PowerState::Stopping) => "stopping",
            Some(PowerState::Off) | None => "off",
        };
        let crash = known.and_then(|known| known.last_crash.as_deref());
        table.add_row([
            machine.as_str(),
            power,
            &story.stage,
            &services(story),
            &story.up.map_or_else(String::new, |seconds| format!("{seconds:.1} s")),
            story.problem.as_deref().or(crash).unwrap_or_default(),
        ]);
    }
    println!("{table}");
}

/// "5 of 7, waiting for kubelet, flannel".
pub fn services(story: &Story) -> String {
    if story.services.is_empty() {
        return String::new();
    }
    let counts = format!("{} of {}", story.ready_services(), story.services.len());
    let waiting = story.waiting_for();
    // Once a machine is up, what is not ready is none of its milestones.
    if waiting.is_empty() || story.up.is_some() {
        counts
    } else {
        format!("{counts}, waiting for {}", waiting.join(", "))
    }
}
