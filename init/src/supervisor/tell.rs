//! What PID 1 tells whoever stands at the machine: the journal in the console's words.
//!
//! Which records are shown, and how, is the journal's; here they get their time and subject.
//! What services print is logd's to show: here it is told when.

use std::fs;

use machine_config::service::Place;

use super::Supervisor;
use crate::console::Subject;
use crate::control::message::StateName;
use crate::logd::word::Word;
use crate::monotonic::Monotonic;
use crate::service::core::Record;

impl Supervisor {
    /// Tells what has happened since this was last called.
    pub(super) fn tell(&mut self) {
        let news: Vec<Record> =
            self.services.journal().since(self.told).map(|(_, record)| record.clone()).collect();
        self.told = self.services.journal().next();
        for record in news {
            let Some(place) = record.service else { continue };
            if matches!(record.change, Some((_, StateName::Ready | StateName::Done))) {
                self.problems.remove(&place);
            }
            if let Some(text) = record.console_line(|place| self.services.name(place)) {
                self.console.say(record.at, Subject::Service(self.services.name(place)), &text);
            }
        }
    }

    /// logd sets the last lines apart, and shows them if nobody has seen them yet. `started` is when whoever failed
    /// was, in milliseconds since boot.
    pub(super) fn tell_of_failure(&mut self, place: Place, started: Option<u64>) {
        // What was decided before is told before.
        self.tell();
        let service = self.services.name(place).to_owned();
        let word = Word::Failed { service, started: started.unwrap_or_default() };
        self.console.log_line(&word.to_string());
    }

    pub(super) fn problem(&mut self, service: Place, text: String, now: Monotonic) {
        if self.problems.get(&service) != Some(&text) {
            self.console.say(now, Subject::Machine, &format!("problem: {text}"));
            self.problems.insert(service, text);
        }
    }

    pub(super) fn status(&mut self, service: Place, text: String, now: Monotonic) {
        self.problems.remove(&service);
        if self.statuses.get(&service) != Some(&text) {
            if self.runner.is_agent(service) {
                self.console.say(now, Subject::Machine, &text);
            } else {
                self.console.say(now, Subject::Service(self.services.name(service)), &text);
            }
            self.statuses.insert(service, text);
        }
    }

    /// What a person needs who comes to a machine that is up.
    pub(super) fn tell_that_up(&mut self, now: Monotonic) {
        self.tell();
        self.console.say(now, Subject::Machine, "up");
        self.console.log_line(&Word::Up.to_string());
        if let Some(label) = &self.label {
            let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            self.console.say(now, Subject::Machine, &format!("{}, {label}", name.trim()));
        }
        for status in self.statuses.values() {
            self.console.say(now, Subject::Machine, status);
        }
        let state = |place| format!("{} {}", self.services.name(place), word(self.services.state(place)));
        let services: Vec<String> = self.services.places().map(state).collect();
        self.console.say(now, Subject::Machine, &format!("services: {}", services.join(", ")));
        for problem in self.problems.values() {
            self.console.say(now, Subject::Machine, &format!("problem: {problem}"));
        }
    }
}

fn word(state: Option<StateName>) -> &'static str {
    match state {
        None => "unknown",
        Some(StateName::Off) => "off",
        Some(StateName::Waiting) => "waiting",
        Some(StateName::Blocked) => "blocked",
        Some(StateName::Preparing | StateName::Starting) => "starting",
        Some(StateName::Ready) => "ready",
        Some(StateName::Degraded) => "degraded",
        Some(StateName::Reloading) => "reloading",
        Some(StateName::Backoff | StateName::Failed) => "failed",
        Some(StateName::Stopping | StateName::Killing | StateName::Cleaning) => "stopping",
        Some(StateName::Stuck) => "stuck",
        Some(StateName::Done) => "done",
    }
}
