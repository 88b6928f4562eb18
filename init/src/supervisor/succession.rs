//! PID 1 replaced by its own program: everything it knows, handed over by exec.
//!
//! By wish ([`Order::Reexec`](crate::control::message::Order)) with the whole record; after a fault
//! from what was saved last, which may be a turn old, so it is compared with what is there. Children,
//! sockets and pipes stay; what was connected stays connected. `node_sys::resume` is the mechanism.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use machine_config::service::{Place, Table};
use node_sys::event::{Interest, Poll, Signals};
use node_sys::notify::Listener;
use node_sys::resume::{self, Memory};
use serde::{Deserialize, Serialize};

use super::ending::Herald;
use super::logs::{self, Logs};
use super::own::Counters;
use super::prober::Prober;
use super::strain::Strain;
use super::token::Token;
use super::{NOTIFY_SOCKET, Supervisor, key};
use crate::agent::image::Image;
use crate::console::{Console, Subject};
use crate::control::message::Ending;
use crate::control::server::{self, Server};
use crate::monotonic::Monotonic;
use crate::service::core::{Entry, Event, Insistence, Plan, Services};
use crate::service::runner::{Runner, SavedSeat};
use crate::watchdog::{self, Dog};

/// Why this program runs where another of ours ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was asked to.
    Wish,
    /// The other one faulted.
    Fault,
}

impl Reason {
    /// As the program's first word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Reason::Wish => "resume",
            Reason::Fault => "recover",
        }
    }

    /// From the program's first word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Reason::Wish, Reason::Fault].into_iter().find(|reason| reason.word() == word)
    }
}

/// All that PID 1 knows: these parts one after the other, the last of them [`Services`]' own.
#[derive(Debug)]
struct Estate {
    seats: Vec<SavedSeat>,
    rest: Rest,
    services: Vec<u8>,
}

/// All but the services.
#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    notify: RawFd,
    server: server::Saved,
    logs: logs::Saved,
    /// The writing end of our own log.
    log: Option<RawFd>,
    dog: watchdog::Saved,
    prober: Prober,
    herald: Herald,
    statuses: BTreeMap<Place, String>,
    problems: BTreeMap<Place, String>,
    told: u64,
    counters: Counters,
    shutdown: Option<Plan>,
}

impl Estate {
    fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (seats, bytes) = postcard::take_from_bytes(bytes)?;
        let (rest, services) = postcard::take_from_bytes(bytes)?;
        Ok(Self { seats, rest, services: services.to_vec() })
    }
}

/// All descriptors of it.
fn descriptors(seats: &[SavedSeat], rest: &Rest) -> Vec<RawFd> {
    let ends = rest.server.descriptors().chain(rest.logs.descriptors());
    let ends = ends.chain(rest.log).chain(rest.dog.descriptors()).chain([rest.notify]);
    seats.iter().flat_map(SavedSeat::descriptors).chain(ends).collect()
}

/// What a predecessor left.
#[derive(Debug)]
pub struct Inheritance {
    estate: Estate,
    memory: Memory,
    reason: Reason,
}

impl Inheritance {
    /// Reads what lies at descriptor `number`, and closes every descriptor that is not part of it.
    ///
    /// # Errors
    /// Nothing of ours is there, or nothing whole.
    pub fn take(number: RawFd, reason: Reason) -> io::Result<Self> {
        let mut memory = Memory::inherited(number)?;
        let bytes = memory.read()?.ok_or(io::ErrorKind::NotFound)?;
        let estate = Estate::decode(&bytes).map_err(no_words)?;
        let mut kept = descriptors(&estate.seats, &estate.rest);
        kept.push(memory.number());
        resume::close_all_but(&kept);
        Ok(Self { estate, memory, reason })
    }

    /// The memory that it came in, and that is written on.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

fn no_words(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Supervisor {
    fn rest(&self) -> Rest {
        Rest {
            notify: self.notify.as_fd().as_raw_fd(),
            server: self.server.save(),
            logs: self.logs.save(),
            log: self.console.log().map(|log| log.as_raw_fd()),
            dog: self.dog.save(),
            prober: self.prober.clone(),
            herald: self.herald.clone(),
            statuses: self.statuses.clone(),
            problems: self.problems.clone(),
            told: self.told,
            counters: self.counters.clone(),
            shutdown: self.shutdown.clone(),
        }
    }

    /// What a successor would need after a fault.
    fn encode(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.runner.encode(bytes).map_err(no_words)?;
        bytes.extend(postcard::to_allocvec(&self.rest()).map_err(no_words)?);
        self.services.save_briefly(bytes).map_err(no_words)
    }

    /// Saves what a successor would need after a fault, if it is another than before.
    pub(super) fn remember(&mut self) {
        if !std::mem::take(&mut self.changed) || self.memory.is_none() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.brief);
        bytes.clear();
        // Without memory a fault ends the machine, as it would have anyway.
        if self.encode(&mut bytes).is_ok()
            && let Some(memory) = &mut self.memory
        {
            let _ = memory.write(&bytes);
        }
        self.brief = bytes;
    }

    /// Replaces this program by itself. Comes back only when that did not work: then all is as it was.
    pub(super) fn replace(&mut self, now: Monotonic) {
        self.services.note(None, "PID 1 replaces itself", now);
        self.tell();
        self.console.flush();
        let before = self.counters.clone();
        self.counters.replaced();
        let error = self.try_replace();
        self.counters = before;
        self.console.say(now, Subject::Machine, &format!("problem: replacing PID 1: {error}"));
    }

    fn try_replace(&mut self) -> io::Error {
        match self.write_all() {
            Ok((number, kept)) => resume::replace(&["init", Reason::Wish.word(), &number.to_string()], &kept),
            Err(error) => error,
        }
    }

    /// Writes everything, with the whole record; where it is, and what it refers to.
    fn write_all(&mut self) -> io::Result<(RawFd, Vec<RawFd>)> {
        let (seats, rest) = (self.runner.save(), self.rest());
        let mut bytes = postcard::to_allocvec(&(&seats, &rest)).map_err(no_words)?;
        bytes.extend(self.services.save().map_err(no_words)?);
        let memory = self.memory.as_mut().ok_or(io::ErrorKind::NotFound)?;
        memory.write(&bytes)?;
        let mut kept = descriptors(&seats, &rest);
        kept.push(memory.number());
        Ok((memory.number(), kept))
    }

    /// Goes on where a predecessor ended. No service is started or stopped by it.
    ///
    /// # Errors
    /// There is nothing to go on from: what was saved is of other services, or a descriptor is gone.
    pub fn succeed(
        inheritance: Inheritance,
        mut console: Console,
        image: Option<Image>,
        table: Table,
    ) -> io::Result<Self> {
        let now = Monotonic::now();
        let Inheritance { estate: Estate { seats, rest, services }, memory, reason } = inheritance;
        if let Some(log) = rest.log {
            console.also_to(resume::adopt(log)?);
        }
        let poll = Poll::new()?;
        let signals = Signals::listen()?;
        poll.add(&signals, Token::Signals.to_raw(), Interest::Read)?;
        let notify = Listener::from(resume::adopt(rest.notify)?);
        poll.add(&notify, Token::Notify.to_raw(), Interest::Read)?;
        let keys = key::devices();
        for (n, device) in keys.iter().enumerate() {
            poll.add(device, Token::Key(n).to_raw(), Interest::Read)?;
        }
        let services = Services::restore(table, &services).map_err(no_words)?;
        let mut supervisor = Self {
            strain: Strain::watch(&poll, Some(now)).0,
            insistence: Insistence::default(),
            server: Server::restore(&rest.server, &poll)?,
            runner: Runner::restore(services.units(), seats, Path::new(NOTIFY_SOCKET), &poll)?,
            services,
            logs: Logs::restore(&rest.logs)?,
            dog: Dog::restore(&rest.dog)?,
            poll,
            signals,
            notify,
            keys,
            prober: rest.prober,
            console,
            image,
            herald: rest.herald,
            statuses: rest.statuses,
            problems: rest.problems,
            told: rest.told,
            counters: rest.counters,
            shutdown: rest.shutdown,
            memory: Some(memory),
            changed: true,
            brief: Vec::new(),
            reexec: false,
            came_up: false,
        };
        supervisor.take_over(reason, now);
        Ok(supervisor)
    }

    /// Catches up with what happened while nobody looked.
    fn take_over(&mut self, reason: Reason, now: Monotonic) {
        self.happened(Event::Pressure { high: true }, now);
        match reason {
            Reason::Wish => self.services.note(None, "PID 1 goes on after replacing itself", now),
            Reason::Fault => self.recover(now),
        }
        for place in self.services.places() {
            for event in self.runner.group_changed(place, &self.poll) {
                self.happened(event, now);
            }
        }
        self.take_signals(now);
        self.tell();
    }

    fn recover(&mut self, now: Monotonic) {
        let text = "PID 1 goes on after a fault of its own";
        self.services.note(None, text, now);
        self.console.say(now, Subject::Machine, &format!("problem: {text}"));
        for place in self.services.places() {
            let Some(belief) = self.services.belief(place) else { continue };
            for event in self.runner.reconcile(place, &belief) {
                self.happened(event, now);
            }
        }
        if !self.counters.recovered(now) && self.shutdown.is_none() {
            let reason = "PID 1 has faulted too often";
            last_words(reason);
            self.console.say(now, Subject::Machine, &format!("problem: {reason}"));
            let plan = Plan::begin(Ending::Reboot, Entry::Fault, now);
            self.dog.bite_at(plan.bites(), now);
            self.shutdown = Some(plan);
            let steps = self.services.shut_down(Ending::Reboot, reason, now);
            self.perform(steps, now);
        }
    }
}

/// Leaves words where the next boot finds them: the kernel's log, which pstore keeps, and pstore's own messages.
pub fn last_words(text: &str) {
    for device in ["/dev/kmsg", "/dev/pmsg0"] {
        // Without pstore they are only on the console.
        let _ = std::fs::OpenOptions::new().write(true).open(device).and_then(|mut device| {
            io::Write::write_all(&mut device, format!("slipway: {text}\n").as_bytes())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_by_its_word() {
        for reason in [Reason::Wish, Reason::Fault] {
            assert_eq!(Reason::from_word(reason.word()), Some(reason));
        }
        assert_eq!(Reason::from_word("agent"), None);
    }
}
