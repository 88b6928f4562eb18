//! Waits until a lab is up: reads every console as it grows, asks the API for its nodes, and shows how far all are.
//!
//! A row per machine, by way of `crate::progress`: bars on a terminal, lines on a pipe. Whether waiting is still of use,
//! and the words when it is not, are `failure`'s.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::{LabDir, Labs};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::Value;

use super::failure::{self, Seen};
use super::note::{Note, kubeconfig_path};
use super::status::services;
use super::story::Story;
use crate::cmd::Context;
use crate::progress::{Amount, Outcome, Task};

/// Between two looks. Reading consoles costs next to nothing, so this is about what people notice.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two questions to the API; each costs a tenth of a second of the CPU that the machines need.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Lines of a console that go into an error.
const TAIL: usize = 15;

/// Ctrl-C, turned into something to look at.
#[derive(Debug)]
pub struct Interrupt {
    signals: SignalFd,
}

impl Interrupt {
    /// From now on Ctrl-C no longer ends this process by itself. Children get their signals as usual.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn listen() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block().context("blocking signals")?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context("listening for signals")?;
        Ok(Self { signals })
    }

    fn came(&self) -> bool {
        matches!(self.signals.read_signal(), Ok(Some(_)))
    }
}

/// Waits until every machine is up and every node is Ready.
///
/// # Errors
/// The time is over, a machine gave up, or somebody interrupts.
pub fn until_ready(
    labs: &Labs,
    dir: &LabDir,
    note: &mut Note,
    deadline: Instant,
    power_on: Instant,
    interrupt: &Interrupt,
    context: &Context,
) -> Result<()> {
    let spec = dir.read_spec()?;
    let mut client = labs.open(&spec.name)?;
    let mut rows: Vec<Row> =
        spec.machines.iter().map(|machine| Row::new(&machine.name, dir, context)).collect();
    let mut nodes = Nodes::new(note, dir, context);
    loop {
        rows.iter_mut().try_for_each(Row::look)?;
        let all_up = rows.iter().all(|row| row.story.up.is_some());
        // Before the machines are up no node is Ready, and asking costs the CPU that they need.
        if all_up {
            nodes.look(power_on)?;
        }
        if all_up && nodes.all_ready() {
            note.ready = std::mem::take(&mut nodes.ready);
            return Ok(());
        }
        let (why, culprit) = if interrupt.came() {
            (Some("interrupted".to_owned()), None)
        } else if Instant::now() > deadline {
            (Some(format!("not up after {} s", power_on.elapsed().as_secs())), None)
        } else {
            let status = client.status().with_context(|| {
                format!("asking the lab's supervisor; its log is {}", dir.supervisor_log().display())
            })?;
            let story = |name: &str| rows.iter().find(|row| row.name == name).map(|row| &row.story);
            let hopeless = status.machines.iter().find_map(|machine| {
                Some((failure::hopeless(machine, story(&machine.name)?)?, machine.name.clone()))
            });
            hopeless.map_or((None, None), |(why, name)| (Some(why), Some(name)))
        };
        if let Some(why) = why {
            // What it said last may have been written since.
            rows.iter_mut().try_for_each(Row::look)?;
            let seen: Vec<Seen<'_>> = rows.iter().map(Row::seen).collect();
            bail!(failure::text(&spec.name, &why, culprit.as_deref(), &seen, &nodes.missing()));
        }
        std::thread::sleep(PAUSE);
    }
}

/// One machine, its console and its row in the table.
struct Row {
    name: String,
    path: PathBuf,
    read: u64,
    partial: Vec<u8>,
    tail: std::collections::VecDeque<String>,
    story: Story,
    task: Option<Task>,
    shown: String,
}

impl Row {
    fn new(name: &str, dir: &LabDir, context: &Context) -> Self {
        Self {
            name: name.to_owned(),
            path: dir.console(name),
            read: 0,
            partial: Vec::new(),
            tail: std::collections::VecDeque::new(),
            story: Story::default(),
            task: Some(context.progress.task("boot", name, Amount::Unknown)),
            shown: String::new(),
        }
    }

    fn seen(&self) -> Seen<'_> {
        let tail = self.tail.iter().map(String::as_str).collect();
        Seen { name: &self.name, story: &self.story, tail, console: self.path.clone() }
    }

    /// Reads what the console has more than last time.
    fn look(&mut self) -> Result<()> {
        let mut file = File::open(&self.path).with_context(|| format!("opening {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.read)).with_context(|| format!("reading {}", self.path.display()))?;
        let count = file
            .read_to_end(&mut self.partial)
            .with_context(|| format!("reading {}", self.path.display()))?;
        self.read += u64::try_from(count).unwrap_or_default();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            self.story.take(line);
            if line.is_empty() {
                continue;
            }
            self.tail.push_back(line.to_owned());
            if self.tail.len() > TAIL {
                self.tail.pop_front();
            }
        }
        self.show();
        Ok(())
    }

    fn show(&mut self) {
        let services = services(&self.story);
        // What is missing comes first: a terminal cuts the end off.
        let text = match &self.story.problem {
            Some(problem) => format!("{services}  problem: {problem}"),
            None => format!("{services}  {}", self.story.stage),
        };
        if let Some(task) = &self.task
            && text != self.shown
        {
            task.message(&text);
            self.shown = text;
        }
        if let Some(up) = self.story.up
            && let Some(task) = self.task.take()
        {
            task.finish(Outcome::Done(format!("up {up:.1} s after power-on, {services} services")));
        }
    }
}

/// The cluster's nodes, as its API tells.
struct Nodes {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    wanted: Vec<String>,
    ready: BTreeMap<String, f64>,
    asked: Option<Instant>,
    question: Option<Child>,
    last_answer: String,
    task: Option<Task>,
}

impl Nodes {
    fn new(note: &Note, dir: &LabDir, context: &Context) -> Self {
        let kubectl = note.kubectl();
        let mut wanted = note.nodes.clone();
        if !wanted.is_empty() && !kubectl.exists() {
            context.progress.note(&format!("{} is not there: nodes are not asked for", kubectl.display()));
            wanted.clear();
        }
        let task = if wanted.is_empty() {
            None
        } else {
            Some(context.progress.task("node", &wanted.join(" "), Amount::Unknown))
        };
        Self {
            kubectl,
            kubeconfig: kubeconfig_path(dir),
            wanted,
            ready: BTreeMap::new(),
            asked: None,
            question: None,
            last_answer: "the API was not asked yet".to_owned(),
            task,
        }
    }

    fn all_ready(&self) -> bool {
        self.wanted.iter().all(|node| self.ready.contains_key(node))
    }

    /// Those that are not Ready, for people.
    fn missing(&self) -> Vec<String> {
        let missing = self.wanted.iter().filter(|node| !self.ready.contains_key(*node));
        missing.map(|node| format!("node {node} is not Ready: {}", self.last_answer)).collect()
    }

    /// Takes an answer if there is one, and asks again when it is time.
    fn look(&mut self, power_on: Instant) -> Result<()> {
        if self.all_ready() {
            return Ok(());
        }
        match self.question.take() {
            Some(mut child) => match child.try_wait().context("waiting for kubectl")? {
                None => self.question = Some(child),
                Some(_) => {
                    let output = child.wait_with_output().context("reading from kubectl")?;
                    self.take_answer(&output, power_on);
                }
            },
            None if self.asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) => {
                self.asked = Some(Instant::now());
                self.question = Some(self.ask()?);
            }
            None => {}
        }
        Ok(())
    }

    fn ask(&self) -> Result<Child> {
        Command::new(&self.kubectl)
            // Raw: there is nothing to discover about nodes.
            .args(["get", "--raw", "/api/v1/nodes", "--request-timeout", "5s"])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.kubectl.display()))
    }

    fn take_answer(&mut self, output: &std::process::Output, power_on: Instant) {
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            self.last_answer = text.lines().last().unwrap_or("kubectl said nothing").to_owned();
        } else if let Ok(list) = serde_json::from_slice::<Value>(&output.stdout) {
            let ready = ready_nodes(&list);
            self.last_answer = format!("Ready are [{}]", ready.join(", "));
            for node in ready.into_iter().filter(|node| self.wanted.contains(node)) {
                self.ready.entry(node).or_insert_with(|| power_on.elapsed().as_secs_f64());
            }
        }
        if let Some(task) = &self.task {
            task.message(&self.last_answer);
        }
        if self.all_ready()
            && let Some(task) = self.task.take()
        {
            task.finish(Outcome::Done("Ready".to_owned()));
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if let Some(mut child) = self.question.take() {
            // It may have ended this moment; either way nobody wants its answer any more.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The names of the nodes whose condition Ready is True.
fn ready_nodes(list: &Value) -> Vec<String> {
    let items = list.get("items").and_then(Value::as_array);
    let is_ready = |node: &&Value| {
        let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
    };
    let names = items
        .into_iter()
        .flatten()
        .filter(is_ready)
        .filter_map(|node| node.pointer("/metadata/name")?.as_str());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_nodes_whose_ready_condition_is_true_are_ready() {
        let node = |name: &str, status: &str| {
            json!({ "metadata": { "name": name }, "status": { "conditions": [
                { "type": "DiskPressure", "status": "True" }, { "type": "Ready", "status": status } ] } })
        };
        let list =
            json!({ "items": [node("w1", "True"), node("w2", "Unknown"), { "metadata": { "name": "w3" } }] });
        assert_eq!(ready_nodes(&list), ["w1"]);
        assert_eq!(ready_nodes(&json!({})), Vec::<String>::new());
    }
}
