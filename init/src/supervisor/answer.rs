//! What PID 1 answers to our own processes.
//!
//! Questions are answered from the core's views; orders go to the core, and those about the
//! machine to the supervisor. Who asks is known by the process that connected.

use super::Supervisor;
use super::reading::Look;
use crate::control::message::{Answer, EVENTS_MAX, Order, Own, Request, ServiceView, StateName};
use crate::control::server::{Client, Heard};
use crate::monotonic::Monotonic;
use crate::service::core::{Accepted, Action, Event};

/// The service that reads what others print.
const LOGD: &str = "logd";
/// The service that knows what earlier boots left.
const PAST: &str = "past";
/// The service that speaks for people, having asked who they are.
const APID: &str = "apid";
/// The service that tells the kubelet before the machine ends.
const LOGIN: &str = "login";
/// The service that asks questions for PID 1.
const PROBED: &str = "probed";

impl Supervisor {
    pub(super) fn hear_client(&mut self, seat: usize, now: Monotonic) {
        for (client, heard) in self.server.hear(seat, &self.poll) {
            match heard {
                Heard::Gone => self.client_gone(client, now),
                Heard::Request(request) => {
                    if let Some(answer) = self.answer(client, request, now) {
                        self.server.answer(client, &answer, &[], &self.poll);
                    }
                }
            }
        }
    }

    pub(super) fn client_gone(&mut self, client: Client, now: Monotonic) {
        self.prober.gone(client);
        self.logs.gone(client, now);
        self.herald.is_done(client);
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
            Request::Do(order) if self.is(client, APID) || self.server.is_root(client) => {
                self.take_order(&order, now)
            }
            Request::Do(_) => Answer::Refused(format!("only root and {APID} give orders")),
            Request::LogPipes if self.is(client, LOGD) => {
                self.hand_out_pipes(client);
                return None;
            }
            Request::Reading => {
                self.logs.answered(client, now);
                return None;
            }
            Request::LogPipes => Answer::Refused(format!("only {LOGD} reads what services print")),
            Request::Probing if self.is(client, PROBED) => {
                self.prober.is_at(client, &mut self.server, &self.poll);
                return None;
            }
            Request::Probing => Answer::Refused(format!("only {PROBED} asks questions for PID 1")),
            Request::Rebooted(times) if self.is(client, PAST) => {
                self.happened(Event::Rebooted(times), now);
                Answer::Accepted { changes: true, next_event: self.services.journal().next() }
            }
            Request::Rebooted(_) => Answer::Refused(format!("only {PAST} knows of that")),
            Request::HearOfEnd if self.is(client, LOGIN) || self.server.is_root(client) => {
                self.herald.is_at(client);
                return None;
            }
            Request::HearOfEnd => {
                Answer::Refused(format!("only root and {LOGIN} are told before the machine ends"))
            }
            Request::ReadyToEnd => {
                self.herald.is_done(client);
                return None;
            }
            Request::Probed { question, finding } => {
                if let Some(question) = self.prober.answered(client, question) {
                    self.happened(Event::Answered { question, finding }, now);
                }
                return None;
            }
        })
    }

    fn hand_out_pipes(&mut self, client: Client) {
        let (pipes, ends): (Vec<_>, Vec<_>) = self.logs.own().into_iter().chain(self.runner.pipes()).unzip();
        let answer = Answer::LogPipes { pipes, up: self.services.up_since().is_some() };
        self.server.answer(client, &answer, &ends, &self.poll);
        self.logs.is_read_by(client, self.runner.outputs(), &self.poll);
    }

    /// Asks logd whether it reads what lies in the pipes. One that hangs is killed: its successor goes on with
    /// what lies there, so nothing of it is lost. If none comes, services do not wait for it either.
    pub(super) fn look_after_logd(&mut self, now: Monotonic) {
        let strained = self.strain.is_short();
        let look = self.logs.time(now, strained, self.runner.outputs(), &self.poll);
        let Some((client, look)) = look else { return };
        match look {
            Look::Fine | Look::Drop => {}
            Look::Ask => self.server.answer(client, &Answer::AreYouReading, &[], &self.poll),
            Look::Hangs => {
                // One that begins or ends has a deadline of its own.
                let ready = self.services.place(LOGD).filter(|place| {
                    self.is(client, LOGD) && self.services.state(*place) == Some(StateName::Ready)
                });
                if let Some(place) = ready
                    && let Some(instance) = self.services.instance(place)
                {
                    self.logs.gone(client, now);
                    self.services.note(Some(place), "does not read what services print: it is killed", now);
                    self.changed = true;
                    if let Some(event) = self.runner.perform(place, instance, &Action::KillMain, &self.poll) {
                        self.happened(event, now);
                    }
                }
            }
        }
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
        let log_bytes_dropped = self.logs.dropped().saturating_add(self.console.log_lost());
        let (ending, recoveries) = (self.services.ending(), self.faults.total());
        Own { up, ending, recoveries, log_bytes_dropped, ..self.counters.tell() }
    }

    fn take_order(&mut self, order: &Order, now: Monotonic) -> Answer {
        let next_event = self.services.journal().next();
        let overlay = match order {
            Order::Shutdown { ending, reason, now: at_once } => {
                let began = self.end(*ending, reason, now);
                let hurried = *at_once && self.hurry(now);
                return Answer::Accepted { changes: began || hurried, next_event };
            }
            Order::Apply(name) => self.services.place(name).and_then(|place| self.runner.overlay(place)),
            Order::Reexec => {
                return self.take_reexec(next_event);
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

    /// What runs for a moment only is not handed over.
    fn take_reexec(&mut self, next_event: u64) -> Answer {
        if self.memory.is_none() {
            return Answer::Refused("there is no memory to hand over in".to_owned());
        }
        if !self.services.is_between_steps() {
            let why = "a step before a start or after an end, or a reload command, is running; try again";
            return Answer::Refused(why.to_owned());
        }
        self.reexec = true;
        Answer::Accepted { changes: true, next_event }
    }

    fn is(&self, client: Client, service: &str) -> bool {
        let main = self.services.place(service).and_then(|place| self.runner.main(place));
        main.is_some() && main == self.server.pid(client)
    }
}
