//! What a machine's console tells: the grammar of PID 1's lines, read into stages, services and a time line.
//!
//! `slipway[SECONDS] SUBJECT: TEXT` is the only shape that is understood; everything else a console carries is passed
//! over, but for a kernel's panic and a lab's own note that the machine starts again. Pure: lines in, a story out.

use std::collections::BTreeMap;

use serde::Serialize;

/// How far one service is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum ServiceState {
    /// Started, not ready yet.
    Starting,
    /// Ready.
    Ready,
    /// Ended; PID 1 starts it again after a pause.
    Waiting {
        /// How it ended, in PID 1's words.
        because: String,
    },
    /// Ended, and meant to stay so.
    Stopped,
}

/// One service of a machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: ServiceState,
    /// Since when, in seconds since power-on.
    pub since: f64,
    /// How often it has ended by itself in this boot.
    pub ends: u32,
}

/// Something that happened once, for the time line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mark {
    /// Seconds since power-on, by the machine's own clock.
    pub seconds: f64,
    /// What was reached.
    pub what: String,
}

/// What the processes that are Slipway's own take of a machine's memory, as PSS.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OwnMemory {
    /// All of them.
    pub mib: f64,
    /// Each by its name.
    pub processes: BTreeMap<String, f64>,
}

/// The last boot of a machine, as far as its console tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Story {
    /// How often it has started.
    pub boots: u32,
    /// The last thing that PID 1 or stage 1 said about the machine as a whole.
    pub stage: String,
    /// In the order in which they first appeared.
    pub services: Vec<Service>,
    /// When it was up.
    pub up: Option<f64>,
    /// What our own processes take, which the machine says once it is up.
    pub own_memory: Option<OwnMemory>,
    /// The last thing that went wrong and has not been overtaken by `up`.
    pub problem: Option<String>,
    /// The last problem of earlier boots, until one comes up: why there is this one.
    pub problem_before: Option<String>,
    /// Whether any boot came up.
    pub was_up: bool,
    /// Milestones.
    pub marks: Vec<Mark>,
    /// The clock of the last line: when it goes back, the machine has restarted without the lab's doing.
    #[serde(skip)]
    clock: f64,
}

/// Lines of one boot may be a little out of order: stage 1, PID 1 and the lab write to the same console.
const CLOCK_SLACK: f64 = 0.2;

/// One line of PID 1 or stage 1.
struct Line<'a> {
    seconds: f64,
    subject: &'a str,
    text: &'a str,
}

impl Story {
    /// The story of a whole console.
    #[must_use]
    pub fn of(console: &str) -> Self {
        let mut story = Self::default();
        for line in console.lines() {
            story.take(line);
        }
        story
    }

    /// Takes one more line in.
    pub fn take(&mut self, line: &str) {
        if let Some(note) = line.strip_prefix(lab::LAB_PREFIX) {
            if note.starts_with(lab::POWER_ON) {
                self.begin();
            }
        } else if let Some(line) = parse(line) {
            if line.seconds + CLOCK_SLACK < self.clock {
                self.begin();
            }
            self.clock = line.seconds;
            self.tell(&line);
        } else if let Some((_, text)) = line.split_once("Kernel panic - ") {
            self.problem = Some(format!("kernel panic: {text}"));
        }
    }

    /// Services that are ready, of those that have been seen.
    #[must_use]
    pub fn ready_services(&self) -> usize {
        self.services.iter().filter(|service| service.state == ServiceState::Ready).count()
    }

    /// The services that are not ready, for people.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<&str> {
        let waiting = self
            .services
            .iter()
            .filter(|service| !matches!(service.state, ServiceState::Ready | ServiceState::Stopped));
        waiting.map(|service| service.name.as_str()).collect()
    }

    fn begin(&mut self) {
        *self = Self {
            boots: self.boots + 1,
            stage: "power on".to_owned(),
            problem_before: self.problem.take().or(self.problem_before.take()),
            was_up: self.was_up,
            ..Self::default()
        };
    }

    fn tell(&mut self, line: &Line<'_>) {
        match line.subject.split_once(' ') {
            Some(("service", name)) => self.tell_of_service(name, line),
            None if line.subject == "stage1" => {
                if let Some(problem) = line.text.strip_prefix("problem: ") {
                    self.problem = Some(problem.to_owned());
                    return;
                }
                line.text.clone_into(&mut self.stage);
                if line.text.contains("verified") {
                    self.mark(line.seconds, "root verified");
                }
            }
            None if line.subject == "machine" => self.tell_of_machine(line),
            _ => {}
        }
    }

    fn tell_of_machine(&mut self, line: &Line<'_>) {
        if let Some(problem) = line.text.strip_prefix("problem: ") {
            self.problem = Some(problem.to_owned());
            return;
        }
        if line.text == "up" {
            self.up = Some(line.seconds);
            self.was_up = true;
            self.problem = None;
            self.problem_before = None;
            self.mark(line.seconds, "up");
        } else if line.text.starts_with("started") {
            self.mark(line.seconds, "PID 1");
        } else if line.text.starts_with("is ") {
            self.mark(line.seconds, "config accepted");
        } else if line.text.starts_with("shutting down") {
            self.up = None;
        } else if let Some(own) = own_memory(line.text) {
            self.own_memory = Some(own);
        }
        // What a machine says after it is up is a summary for whoever stands before it.
        if self.up.is_none() || line.text == "up" {
            line.text.clone_into(&mut self.stage);
        }
    }

    fn tell_of_service(&mut self, name: &str, line: &Line<'_>) {
        let ended =
            ["exited with", "killed by", "not started"].iter().any(|start| line.text.starts_with(start));
        let state = if line.text.starts_with("starting") {
            ServiceState::Starting
        } else if line.text.starts_with("ready") {
            self.mark(line.seconds, name);
            ServiceState::Ready
        } else if line.text.starts_with("stopped") || line.text.starts_with("could not be stopped") {
            ServiceState::Stopped
        } else if ended {
            ServiceState::Waiting { because: line.text.to_owned() }
        } else {
            return;
        };
        let ends = u32::from(ended);
        match self.services.iter_mut().find(|service| service.name == name) {
            Some(service) => {
                service.state = state;
                service.since = line.seconds;
                service.ends += ends;
            }
            None => {
                self.services.push(Service { name: name.to_owned(), state, since: line.seconds, ends });
            }
        }
    }

    /// The first time counts: a service that comes back later is no milestone of the boot.
    fn mark(&mut self, seconds: f64, what: &str) {
        if !self.marks.iter().any(|mark| mark.what == what) {
            self.marks.push(Mark { seconds, what: what.to_owned() });
        }
    }
}

/// Reads "own processes 9.8 MiB (init 2.1, config 1.4)".
fn own_memory(text: &str) -> Option<OwnMemory> {
    let (mib, rest) = text.strip_prefix("own processes ")?.split_once(" MiB (")?;
    let part = |part: &str| {
        let (name, mib) = part.rsplit_once(' ')?;
        Some((name.to_owned(), mib.parse().ok()?))
    };
    let processes = rest.strip_suffix(')')?.split(", ").map(part).collect::<Option<_>>()?;
    Some(OwnMemory { mib: mib.parse().ok()?, processes })
}

/// A console is shared: kernel messages may stand before a line of ours on the same row.
fn parse(line: &str) -> Option<Line<'_>> {
    let (_, rest) = line.split_once("slipway[")?;
    let (seconds, rest) = rest.split_once("] ")?;
    let seconds = seconds.trim().parse().ok()?;
    let (subject, text) = rest.split_once(": ")?;
    Some(Line { seconds, subject, text: text.trim_end() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: &str = "\
lab: power on, start 1
[    0.1] some kernel line
slipway[0.301] stage1: root 0123456789ab verified on /dev/ubda
slipway[0.350] machine: started, role worker, version 0.1.0
slipway[0.360] service storage: starting
slipway[0.500] service storage: ready after 0.14 s
slipway[1.200] machine: is w1 of cluster demo, 10.77.0.13
slipway[1.210] service containerd: starting
slipway[1.900] service containerd: ready after 0.69 s
slipway[1.910] service kubelet: starting
kubelet| some output: with colons
";

    #[test]
    fn a_boot_in_progress_shows_its_stage_and_what_it_waits_for() {
        let story = Story::of(WORKER);
        assert_eq!(story.stage, "is w1 of cluster demo, 10.77.0.13");
        assert_eq!((story.ready_services(), story.services.len()), (2, 3));
        assert_eq!(story.waiting_for(), ["kubelet"]);
        assert_eq!(story.up, None);
    }

    #[test]
    fn a_boot_has_a_time_line_from_the_kernel_to_up() {
        let story = Story::of(&format!(
            "{WORKER}slipway[3.1] service kubelet: ready after 1.19 s\nslipway[3.2] machine: up\n"
        ));
        let marks: Vec<_> = story.marks.iter().map(|mark| (mark.seconds, mark.what.as_str())).collect();
        assert_eq!(
            marks,
            [
                (0.301, "root verified"),
                (0.350, "PID 1"),
                (0.5, "storage"),
                (1.2, "config accepted"),
                (1.9, "containerd"),
                (3.1, "kubelet"),
                (3.2, "up"),
            ]
        );
        assert_eq!(story.up, Some(3.2));
    }

    #[test]
    fn a_service_that_dies_and_comes_back_is_counted_and_no_new_milestone() {
        let console = format!(
            "{WORKER}slipway[5.0] service containerd: killed by signal 9 after 3.1 s, again in 0.5 s\n\
             slipway[5.5] service containerd: starting\nslipway[6.0] service containerd: ready after 0.5 s\n"
        );
        let story = Story::of(&console);
        let containerd = &story.services[1];
        assert_eq!((&containerd.state, containerd.ends, containerd.since), (&ServiceState::Ready, 1, 6.0));
        assert_eq!(story.marks.iter().filter(|mark| mark.what == "containerd").count(), 1);
    }

    #[test]
    fn a_problem_is_the_last_one_and_up_ends_it() {
        let mut story = Story::of(WORKER);
        story.take("slipway[2.0] machine: problem: no config disk");
        story.take("slipway[2.5] machine: problem: config is signed by unknown key ab12");
        assert_eq!(story.problem.as_deref(), Some("config is signed by unknown key ab12"));
        story.take("slipway[9.0] machine: up");
        assert_eq!(story.problem, None);
    }

    #[test]
    fn a_machine_that_is_up_stays_up_whatever_it_sums_up() {
        let mut story = Story::of(WORKER);
        for line in [
            "up",
            "w1, role worker, version 0.1.0",
            "is w1 of cluster demo, 10.77.0.13",
            "services: kubelet up",
        ] {
            story.take(&format!("slipway[9.0] machine: {line}"));
        }
        assert_eq!((story.stage.as_str(), story.up), ("up", Some(9.0)));
        story.take("slipway[20.0] machine: shutting down (reboot)");
        assert_eq!((story.stage.as_str(), story.up), ("shutting down (reboot)", None));
    }

    #[test]
    fn what_our_own_processes_take_is_read_from_its_line_and_no_other() {
        let mut story = Story::of(&format!("{WORKER}slipway[3.2] machine: up\n"));
        story.take("slipway[5.3] machine: own processes lots");
        story.take("slipway[5.3] machine: own processes 3.0 MiB (init)");
        assert_eq!(story.own_memory, None);
        story.take("slipway[5.4] machine: own processes 3.0 MiB (init 2.1, pki 0.9)");
        let own = story.own_memory.clone().unwrap();
        assert_eq!((own.mib, own.processes["init"], own.processes["pki"]), (3.0, 2.1, 0.9));
        assert_eq!((story.stage.as_str(), story.up), ("up", Some(3.2)));
        story.take("slipway[0.3] machine: started");
        assert_eq!(story.own_memory, None, "it was another boot's");
    }

    #[test]
    fn a_clock_that_starts_again_is_a_restart() {
        let mut story = Story::of(WORKER);
        story.take("slipway[0.300] stage1: problem: no device has the slot 0123");
        assert_eq!((story.boots, story.services.len()), (2, 0));
        assert_eq!(story.problem.as_deref(), Some("no device has the slot 0123"));
    }

    #[test]
    fn a_service_that_cannot_be_started_waits_and_says_why() {
        let mut story = Story::of(WORKER);
        story.take("slipway[2.0] service kubelet: not started: reading args: No such file, again in 0.5 s");
        let because = "not started: reading args: No such file, again in 0.5 s".to_owned();
        assert_eq!(story.services[2].state, ServiceState::Waiting { because });
    }

    #[test]
    fn a_restart_begins_a_new_story() {
        let story = Story::of(&format!("{WORKER}Kernel panic - not syncing: x\nlab: power on, start 2\n"));
        assert_eq!((story.boots, story.stage.as_str(), story.services.len()), (2, "power on", 0));
        assert_eq!(story.problem, None);
    }

    #[test]
    fn a_panic_is_a_problem_and_garbage_is_passed_over() {
        let story = Story::of(
            "Kernel panic - not syncing: VFS\nslipway[x] machine: up\nslipway[1] machine\nslipway[",
        );
        assert_eq!(story.problem.as_deref(), Some("kernel panic: not syncing: VFS"));
        assert_eq!(story.up, None);
    }
}
