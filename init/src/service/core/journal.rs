//! The record: everything that happened, numbered without gaps, in bounded room.
//!
//! A ring that is as large at boot as it will ever be, and the states that services had before
//! its oldest record: replaying the one over the other gives the state that is reported now.
//! Causes are kept as data; `console_line` and [`Journal::records`] make words of them.

use std::collections::VecDeque;

use machine_config::service::Place;
use serde::{Deserialize, Serialize};

use super::cause::Cause;
use crate::control::message::{EventRecord, StateName};
use crate::monotonic::Monotonic;
use crate::text::one_line;

/// How many records are kept.
pub const KEPT: usize = 1024;
/// The longest text inside a cause, in characters.
pub const TEXT_MAX: usize = 200;

/// A change of state.
pub type Change = (StateName, StateName);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Monotonic,
    /// To whom; the machine itself without it.
    pub service: Option<Place>,
    /// What.
    pub change: Option<Change>,
    /// Why.
    pub cause: Cause,
}

/// All that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    base: Vec<StateName>,
    ring: VecDeque<Record>,
    oldest: u64,
}

impl Journal {
    /// An empty one for so many services, all of them off.
    #[must_use]
    pub fn new(services: usize) -> Self {
        Self { base: vec![StateName::Off; services], ring: VecDeque::with_capacity(KEPT), oldest: 1 }
    }

    /// One that goes on with the same number, and remembers nothing but the `present` states, which are what
    /// a replay would give: it takes too long to be done at every turn.
    #[must_use]
    pub fn brief(&self, present: Vec<StateName>) -> Self {
        Self { base: present, ring: VecDeque::new(), oldest: self.next() }
    }

    /// Adds a record.
    pub fn push(&mut self, record: Record) {
        if self.ring.len() >= KEPT
            && let Some(dropped) = self.ring.pop_front()
        {
            apply(&mut self.base, &dropped);
            self.oldest = self.oldest.saturating_add(1);
        }
        self.ring.push_back(record);
    }

    /// The number of the oldest record that is kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The number that the next record will have.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.oldest.saturating_add(u64::try_from(self.ring.len()).unwrap_or(u64::MAX))
    }

    /// The records from number `since` on that are kept, with their numbers.
    pub fn since(&self, since: u64) -> impl Iterator<Item = (u64, &Record)> {
        // Not `skip`, which would walk over all that was told before: this is asked for at every turn.
        let first = since.clamp(self.oldest, self.next());
        let skipped = usize::try_from(first.saturating_sub(self.oldest)).unwrap_or(usize::MAX);
        (first..self.next()).zip(self.ring.range(skipped.min(self.ring.len())..))
    }

    /// As others read them, from `since` on, at most so many; `name` gives a service's.
    pub fn records<'a>(
        &self,
        since: u64,
        most: usize,
        name: impl Fn(Place) -> &'a str + Copy,
    ) -> Vec<EventRecord> {
        let words = |(number, record): (u64, &Record)| EventRecord {
            number,
            at: record.at.millis(),
            service: record.service.map(|place| name(place).to_owned()),
            change: record.change,
            cause: record.cause.words(name),
        };
        self.since(since).take(most).map(words).collect()
    }

    /// Every service's state, from nothing but the record.
    #[must_use]
    pub fn replay(&self) -> Vec<StateName> {
        let mut states = self.base.clone();
        self.ring.iter().for_each(|record| apply(&mut states, record));
        states
    }

    /// The states before the oldest record.
    #[must_use]
    pub fn base(&self) -> &[StateName] {
        &self.base
    }
}

fn apply(states: &mut [StateName], record: &Record) {
    if let (Some(place), Some((_, to))) = (record.service, record.change)
        && let Some(state) = states.get_mut(place.index())
    {
        *state = to;
    }
}

impl Record {
    /// What the console shows of it, after its subject; most records are nothing to it.
    pub fn console_line<'a>(&self, name: impl Fn(Place) -> &'a str) -> Option<String> {
        let to = self.change.map(|(_, to)| to);
        match (&self.cause, to) {
            (Cause::TaskEnded(_), Some(StateName::Done))
            | (Cause::Prepared, Some(StateName::Starting))
            | (Cause::TooSlow, Some(StateName::Killing))
            | (Cause::Unkillable, Some(StateName::Stuck))
            // The alarm that follows a failure after which nothing is tried is a problem of the machine's.
            | (Cause::Failed { .. }, Some(_))
            | (Cause::Ready(_) | Cause::ReloadFailed(_), _)
            | (
                Cause::Lingering
                | Cause::StartsSlowly
                | Cause::FailsOften(_)
                | Cause::DegradesNode(_)
                | Cause::RebootsFor(_)
                | Cause::StaysDown
                | Cause::OutOfMemory
                | Cause::CouldNot(..),
                None,
            ) => Some(match &self.cause {
                // A task is ready for those who wait for it when it is done.
                Cause::TaskEnded(after) => Cause::Ready(*after).words(name),
                cause => cause.words(name),
            }),
            (_, Some(StateName::Off)) if self.change.is_some_and(|(from, _)| from == StateName::Cleaning) => {
                Some("stopped".to_owned())
            }
            _ => None,
        }
    }
}

/// `text` as it may stand in a cause: bounded, one line.
#[must_use]
pub fn bounded(text: &str) -> String {
    one_line(text, TEXT_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cause::Failure;
    use super::*;

    fn change(place: u16, from: StateName, to: StateName) -> Record {
        Record {
            at: Monotonic::default(),
            service: Some(Place(place)),
            change: Some((from, to)),
            cause: Cause::Wanted,
        }
    }

    #[test]
    fn a_failure_is_one_line_of_the_console_and_its_alarm_none() {
        let failure = Failure::NotPrepared("no group".to_owned());
        let cause = Cause::Failed { failure, after: Duration::ZERO, again: None };
        let failed = Record { cause, ..change(0, StateName::Preparing, StateName::Cleaning) };
        let alarm = Record { change: None, ..failed.clone() };
        let line = failed.console_line(|_| "etcd");
        assert_eq!(line.as_deref(), Some("not started: no group, not tried again"));
        assert_eq!(alarm.console_line(|_| "etcd"), None);
    }

    /// A predecessor that failed may have left any number.
    #[test]
    fn numbers_that_run_out_end_the_record_instead_of_pid_1() {
        let mut journal = Journal { oldest: u64::MAX - 1, ..Journal::new(1) };
        for _ in 0..3 {
            journal.push(change(0, StateName::Off, StateName::Waiting));
        }
        assert_eq!(journal.since(0).map(|(number, _)| number).collect::<Vec<_>>(), [u64::MAX - 1]);
    }

    #[test]
    fn a_full_ring_forgets_the_oldest_and_still_replays_to_the_present() {
        let mut journal = Journal::new(2);
        journal.push(change(1, StateName::Off, StateName::Waiting));
        for _ in 0..KEPT {
            journal.push(change(0, StateName::Off, StateName::Ready));
        }
        assert_eq!((journal.oldest(), journal.next()), (2, KEPT as u64 + 2));
        assert_eq!(journal.replay(), [StateName::Ready, StateName::Waiting]);
        assert_eq!(journal.since(0).next().unwrap().0, 2);
        assert_eq!(journal.since(5).next().unwrap().0, 5);
        assert_eq!(journal.since(u64::MAX).count(), 0);
    }
}
