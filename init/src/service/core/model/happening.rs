//! What happens in the model: one number, one happening.
//!
//! Numbers instead of a tree of strategies, so that a case is made quickly and shrinks to
//! small numbers: the low digits say what, the high ones to whom and how.

use std::time::Duration;

use machine_config::service::Place;

use super::invariants as must;
use super::tables::Digits;
use super::world::World;
use crate::control::message::{Finding, Order};
use crate::service::core::{Accepted, Digest, Ending, Event, Report};

impl World {
    /// Lets the happening with this number happen.
    pub fn happen(&mut self, number: u64) {
        let mut digits = Digits(number);
        let kind = digits.take(32);
        let place = Place(u16::try_from(digits.take(12) as usize % self.units.len()).unwrap());
        let detail = digits.take(64);
        match kind {
            0..=5 => self.pass([1, 40, 250, 1000, 5000, 30_000, 130_000, 700_000][(detail % 8) as usize]),
            6..=9 => self.is_well(place),
            10 => self.end_of_main(place, &Ending::Status([0, 1, 125][(detail % 3) as usize])),
            11 => self.end_of_main(place, &Ending::Signal(11)),
            12 | 13 => {
                let status = Ending::Status(i32::from(detail.is_multiple_of(4)));
                let events = self.end_step(place, &status, true);
                self.tell_all(events);
                self.empty(place);
            }
            14 => {
                let events =
                    self.end_reload(place, &Ending::Status(i32::from(detail.is_multiple_of(2))), true);
                self.tell_all(events);
                self.empty(place);
            }
            15..=18 => self.an_answer(detail),
            19 => self.stale(place),
            20 => {
                let actor = self.actor(place);
                actor.children = actor.main.is_some();
                actor.deaf = detail.is_multiple_of(3);
                // Some hang in the kernel: a group that no kill empties.
                actor.unkillable = actor.children && detail.is_multiple_of(4);
            }
            21 => {
                self.actor(place).children = false;
                self.empty(place);
            }
            22 => self.actor(place).unkillable = detail.is_multiple_of(3),
            23 => self.speaks(place, detail),
            24 => self.faults = Digits(detail.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32),
            25 => self.tell(Event::ClockJumped),
            26 => self.tell(Event::Pressure { high: detail.is_multiple_of(2) }),
            27 => self.apply(place, detail),
            28 => must::invariant_19_a_successor_goes_on_where_it_was(self),
            _ => self.an_order(place, detail),
        }
    }

    /// It does what is expected of it next.
    pub fn is_well(&mut self, place: Place) {
        let events = self.end_step(place, &Ending::Status(0), true);
        self.tell_all(events);
        self.empty(place);
        let events = self.end_reload(place, &Ending::Status(0), true);
        self.tell_all(events);
        let Some(instance) = self.actor(place).main else {
            self.actor(place).children = false;
            return self.empty(place);
        };
        match self.unit(place).ready {
            machine_config::service::Ready::Exit => self.end_of_main(place, &Ending::Status(0)),
            machine_config::service::Ready::Notify => self.report(place, instance, Report::SaidReady),
            machine_config::service::Ready::Descriptor(_) => self.report(place, instance, Report::WroteReady),
            _ => {}
        }
    }

    /// Its main process ends, and with it, often, everything.
    pub fn end_of_main(&mut self, place: Place, how: &Ending) {
        let events = self.end_main(place, how, true);
        self.tell_all(events);
        self.empty(place);
    }

    pub fn empty(&mut self, place: Place) {
        let events = self.if_empty(place);
        self.tell_all(events);
    }

    fn an_answer(&mut self, detail: u64) {
        let finding = match detail % 8 {
            0 => Finding::CouldNotAsk,
            1..=3 => Finding::Bad,
            _ => Finding::Good,
        };
        let asked: Vec<_> = self.questions.keys().copied().collect();
        if !asked.is_empty() {
            let question = asked[(detail / 8) as usize % asked.len()];
            let events = self.answer(question, finding);
            self.tell_all(events);
        }
    }

    /// Words of those who are gone.
    fn stale(&mut self, place: Place) {
        if let Some(instance) = self.actor(place).earlier.last().copied()
            && self.services.instance(place) != Some(instance)
        {
            for report in [
                Report::SaidReady,
                Report::WroteReady,
                Report::Started { overlay: None },
                Report::Ended(Ending::Status(0)),
                Report::GroupEmpty,
                Report::GroupRemoved,
                Report::Prepared,
                Report::OutOfMemory,
            ] {
                must::invariant_15_nothing_stale_counts(
                    self,
                    Event::Report { service: place, instance, report },
                );
            }
        }
        if let Some(question) = self.old_questions.last().copied() {
            must::invariant_15_nothing_stale_counts(
                self,
                Event::Answered { question, finding: Finding::Good },
            );
        }
    }

    fn speaks(&mut self, place: Place, detail: u64) {
        let Some(instance) = self.actor(place).main else { return };
        let report = match detail % 4 {
            0 => Report::SaidReloading,
            1 => Report::Extended(Duration::from_secs(detail)),
            2 => Report::Pinged,
            _ => Report::OutOfMemory,
        };
        self.report(place, instance, report);
    }

    fn apply(&mut self, place: Place, detail: u64) {
        let overlay = Some(Digest(detail % 3));
        let started_with = self.services.member(place).unwrap().overlay;
        let is_same = started_with == overlay && self.actor(place).overlay == overlay;
        self.actor(place).overlay = overlay;
        let next = self.services.journal().next();
        let leaves = self.services.member(place).unwrap().leave.is_some();
        let accepted = self.give(&Order::Apply(self.services.name(place).to_owned()), overlay);
        if is_same && !leaves {
            assert_eq!(accepted, Some(Accepted::Unchanged));
            must::invariant_17_an_identical_configuration_changes_nothing(next, self);
        }
    }

    /// Gives an order and performs what follows from it.
    pub fn give(&mut self, order: &Order, overlay: Option<Digest>) -> Option<Accepted> {
        self.telling = Some(Event::Time);
        let before = must::Before::of(self);
        let (outcome, steps) = self.services.order(order, overlay, self.moment());
        if outcome == Ok(Accepted::Changed) {
            // A fresh budget: pauses may be short again.
            for actor in &mut self.actors {
                (actor.pause, actor.not_before) = Default::default();
            }
        }
        must::after_event(self, &before, steps.is_empty());
        self.perform(steps);
        must::at_rest(self);
        outcome.ok()
    }

    fn an_order(&mut self, place: Place, detail: u64) {
        let service = self.services.name(place).to_owned();
        let cascade = detail.is_multiple_of(2);
        let order = match detail / 2 % 9 {
            0 => Order::Start(service),
            1 => Order::Stop { service, cascade },
            2 | 3 => Order::Restart { service, cascade },
            4 => Order::Reload(service),
            5 => Order::Reset(service),
            6 => Order::Hold(service),
            7 => Order::Release(service),
            _ => Order::Signal { service, signal: machine_config::service::StopSignal::Hup },
        };
        self.give(&order, None);
    }
}
