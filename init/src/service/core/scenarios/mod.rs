//! The scenarios of reference/supervisors.md section 4 that the core alone decides.
//!
//! Each test's doc comment names its scenario; tests/scenarios.md says where the others are.
//! The world is the model's, so every invariant is checked along the way.

mod dependencies;
mod ends;
mod processes;
mod readiness;

use std::time::Duration;

use machine_config::service::Place;

use super::model::tables::table;
use super::model::world::World;
use super::{Accepted, Ending, Instance, Refusal, Report};
use crate::control::message::{Finding, Order, StateName};

const TASK: &str = "ready = { by = \"exit\" }\n";
const EXEC: &str = "ready = { by = \"exec\" }\n";
const PROBE: &str = "ready = { by = \"probe\", ask = [\"tcp\", \"1\"] }\n";
const ON_DEMAND: &str = "start = \"on-demand\"\nmilestone = false\n";

/// A world of these services, begun.
fn world(specs: &[(&str, &str)]) -> World {
    World::begun(table(specs))
}

impl World {
    fn main(&self, name: &str) -> Option<Instance> {
        self.actors[self.place(name).index()].main
    }

    /// It says what it has to say to be ready.
    fn is_ready(&mut self, name: &str) {
        let place = self.place(name);
        self.is_well(place);
        self.an_answer_for(place, Finding::Good);
    }

    fn all_ready(&mut self) {
        for place in self.services.places() {
            self.is_well(place);
            self.an_answer_for(place, Finding::Good);
        }
    }

    fn an_answer_for(&mut self, place: Place, finding: Finding) {
        let asked = self.questions.iter().find(|(_, (at, _))| *at == place).map(|(question, _)| *question);
        if let Some(question) = asked {
            let events = self.answer(question, finding);
            self.tell_all(events);
        }
    }

    fn says(&mut self, name: &str, report: Report) {
        let (place, instance) = (self.place(name), self.main(name).unwrap());
        self.report(place, instance, report);
    }

    fn exits(&mut self, name: &str, status: i32) {
        let place = self.place(name);
        self.end_of_main(place, &Ending::Status(status));
    }

    fn dies(&mut self, name: &str) {
        let place = self.place(name);
        self.end_of_main(place, &Ending::Signal(9));
    }

    fn ordered(&mut self, order: Order) -> Result<Accepted, Refusal> {
        let (outcome, steps) = self.services.order(&order, None, self.moment());
        for actor in &mut self.actors {
            (actor.pause, actor.not_before) = Default::default();
        }
        self.news();
        self.perform(steps);
        outcome
    }

    fn start(&mut self, name: &str) -> Result<Accepted, Refusal> {
        self.ordered(Order::Start(name.to_owned()))
    }

    fn stop(&mut self, name: &str) -> Result<Accepted, Refusal> {
        self.ordered(Order::Stop { service: name.to_owned(), cascade: false })
    }

    fn stop_all_of(&mut self, name: &str) -> Result<Accepted, Refusal> {
        self.ordered(Order::Stop { service: name.to_owned(), cascade: true })
    }

    fn restart(&mut self, name: &str) -> Result<Accepted, Refusal> {
        self.ordered(Order::Restart { service: name.to_owned(), cascade: false })
    }

    /// The changes of state of this service since `number`.
    fn path(&self, name: &str, number: u64) -> Vec<StateName> {
        let place = self.place(name);
        let changes = self.services.journal().since(number);
        changes
            .filter(|(_, record)| record.service == Some(place))
            .filter_map(|(_, record)| Some(record.change?.1))
            .collect()
    }

    fn next(&self) -> u64 {
        self.services.journal().next()
    }

    fn explained(&self, name: &str) -> String {
        self.services.explain(self.place(name)).join("\n")
    }

    fn alarm(&self, name: &str) -> Option<String> {
        self.services.view(self.place(name)).unwrap().alarm
    }

    fn degrades_node(&self, name: &str) -> bool {
        self.services.view(self.place(name)).unwrap().degrades_node
    }
}

/// In milliseconds.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}
