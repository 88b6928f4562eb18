//! What PID 1 answers to our own processes.
//!
//! Questions are answered from the core's views; orders go to the core, and those about the
//! machine to the supervisor. Who asks is known by the process that connected.

use super::Supervisor;
use crate::control::message::{Answer, EVENTS_MAX, Order, Own, Request, ServiceView};
use crate::control::server::{Client, Heard};
use crate::monotonic::Monotonic;
use crate::service::core::{Accepted, Event};

/// The service that asks questions for PID 1.
const PROBED: &str = "probed";

impl Supervisor {
    pub(super) fn hear_client(&mut self, seat: usize, now: Monotonic) {
        for (client, heard) in self.server.hear(seat, &self.poll) {
            match heard {
                Heard::Gone => self.prober.gone(client),
                Heard::Request(request) => {
                    if let Some(answer) = self.answer(client, request, now) {
                        self.server.answer(client, &answer, &[], &self.poll);
                    }
                }
            }
        }
    }

    /// The answer; findings of probed have none.
    fn answer(&mut self, client: Client, request: Request, now: Monotonic) -> Option<Answer> {
        Some(match request {
            Request::Services => Answer::Services(self.views()),
            Request::Explain(name) => match self.services.place(&name) {
                Some(place) => Answer::Explained(self.services.explain(place)),
                None => Answer::Refused(format!("there is no service {name}")),
            },
            Request::Events { since, most } => Answer::Events {
                events: self.services.events(since, usize::from(most.min(EVENTS_MAX))),
                oldest: self.services.journal().oldest(),
                next: self.services.journal().next(),
            },
            Request::Own => Answer::Own(self.own()),
            Request::Do(order) => self.take_order(&order, now),
            Request::LogPipes => Answer::Refused("logs are not handed out".to_owned()),
            Request::Probing if self.is(client, PROBED) => {
                self.prober.is_at(client, &mut self.server, &self.poll);
                return None;
            }
            Request::Probing => Answer::Refused(format!("only {PROBED} asks questions for PID 1")),
            Request::Probed { question, finding } => {
                if let Some(question) = self.prober.answered(client, question) {
                    self.happened(Event::Answered { question, finding }, now);
                }
                return None;
            }
        })
    }

    fn views(&self) -> Vec<ServiceView> {
        let view = |place| {
            let pid = self.runner.main(place);
            Some(ServiceView {
                pid,
                status: self.statuses.get(&place).cloned(),
                ..self.services.view(place)?
            })
        };
        self.services.places().filter_map(view).collect()
    }

    fn own(&self) -> Own {
        let up = self.services.up_since().map(Monotonic::millis);
        Own { up, ending: self.services.ending(), ..self.counters.tell() }
    }

    fn take_order(&mut self, order: &Order, now: Monotonic) -> Answer {
        let next_event = self.services.journal().next();
        let overlay = match order {
            Order::Shutdown { ending, reason } => {
                self.end(*ending, reason, now);
                return Answer::Accepted { changes: true, next_event };
            }
            Order::Apply(name) => self.services.place(name).and_then(|place| self.runner.overlay(place)),
            Order::Reexec => {
                return Answer::Refused("this version of PID 1 is replaced by a reboot only".to_owned());
            }
            _ => None,
        };
        let (outcome, steps) = self.services.order(order, overlay, now);
        self.perform(steps, now);
        match outcome {
            Ok(accepted) => Answer::Accepted { changes: accepted == Accepted::Changed, next_event },
            Err(refusal) => Answer::Refused(refusal.to_string()),
        }
    }

    fn is(&self, client: Client, service: &str) -> bool {
        let main = self.services.place(service).and_then(|place| self.runner.main(place));
        main.is_some() && main == self.server.pid(client)
    }
}
