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
use super::faults::{Faults, Verdict};
use super::logs::{self, Logs};
use super::own::Counters;
use super::prober::Prober;
use super::strain::Strain;
use super::tally::Tally;
use super::token::Token;
use super::{NOTIFY_SOCKET, Supervisor, key};
use crate::console::{Console, Subject};
use crate::control::message::Ending;
use crate::control::server::{self, Server};
use crate::monotonic::Monotonic;
use crate::service::core::{Entry, Event, Insistence, Plan, Services};
use crate::service::runner::{Runner, SavedSeat};
use crate::watchdog::{self, Dog};

/// Why the machine ends then, for whoever looks for the reason afterwards.
const TOO_OFTEN: &str = "PID 1 has faulted too often";

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
    faults: Faults,
    shutdown: Option<Plan>,
}

impl Estate {
    fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (seats, bytes) = postcard::take_from_bytes(bytes)?;
        let (rest, services) = postcard::take_from_bytes(bytes)?;
        Ok(Self { seats, rest, services: services.to_vec() })
    }

    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let mut bytes = postcard::to_allocvec(&(&self.seats, &self.rest))?;
        bytes.extend(&self.services);
        Ok(bytes)
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
    death: Death,
}

/// How a predecessor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Because it was asked to.
    Wished,
    /// By a fault that is borne.
    Borne,
    /// By one fault too many.
    OneTooMany,
}

impl Inheritance {
    /// Reads what lies at descriptor `number`, and closes every descriptor that is not part of it. A fault is counted
    /// by that: whatever is made of the inheritance, and faults again, was counted before.
    ///
    /// # Errors
    /// Nothing of ours is there, or nothing whole, or there were so many faults that it is left alone.
    pub fn take(number: RawFd, reason: Reason) -> io::Result<Self> {
        let inheritance = Self::open(Memory::inherited(number)?, reason, Monotonic::now())?;
        let mut kept = descriptors(&inheritance.estate.seats, &inheritance.estate.rest);
        kept.push(inheritance.memory.number());
        resume::close_all_but(&kept);
        Ok(inheritance)
    }

    fn open(mut memory: Memory, reason: Reason, now: Monotonic) -> io::Result<Self> {
        let bytes = memory.read()?.ok_or(io::ErrorKind::NotFound)?;
        let mut estate = Estate::decode(&bytes).map_err(no_words)?;
        if reason == Reason::Wish {
            return Ok(Self { estate, memory, death: Death::Wished });
        }
        let verdict = estate.rest.faults.count(now);
        // Without memory a fault ends the machine, as it would have anyway: one that does not count is for ever.
        memory.write(&estate.encode().map_err(no_words)?)?;
        let death = match verdict {
            Verdict::GoOn => Death::Borne,
            Verdict::End => Death::OneTooMany,
            Verdict::GiveUp => {
                return Err(io::Error::other(format!("{TOO_OFTEN}, and again while it ended")));
            }
        };
        Ok(Self { estate, memory, death })
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
            faults: self.faults.clone(),
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
        let services = self.services.save().map_err(no_words)?;
        let estate = Estate { seats: self.runner.save(), rest: self.rest(), services };
        let memory = self.memory.as_mut().ok_or(io::ErrorKind::NotFound)?;
        memory.write(&estate.encode().map_err(no_words)?)?;
        let mut kept = descriptors(&estate.seats, &estate.rest);
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
        label: Option<String>,
        table: Table,
    ) -> io::Result<Self> {
        let now = Monotonic::now();
        let Inheritance { estate: Estate { seats, rest, services }, memory, death } = inheritance;
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
            tally: Tally::Settled,
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
            label,
            herald: rest.herald,
            statuses: rest.statuses,
            problems: rest.problems,
            told: rest.told,
            counters: rest.counters,
            faults: rest.faults,
            shutdown: rest.shutdown,
            memory: Some(memory),
            changed: true,
            brief: Vec::new(),
            reexec: false,
            came_up: false,
        };
        supervisor.take_over(death, now);
        Ok(supervisor)
    }

    /// Catches up with what happened while nobody looked.
    fn take_over(&mut self, death: Death, now: Monotonic) {
        self.happened(Event::Pressure { high: true }, now);
        match death {
            Death::Wished => self.services.note(None, "PID 1 goes on after replacing itself", now),
            Death::Borne | Death::OneTooMany => self.recover(death, now),
        }
        for place in self.services.places() {
            for event in self.runner.group_changed(place, &self.poll) {
                self.happened(event, now);
            }
        }
        self.take_signals(now);
        self.tell();
    }

    fn recover(&mut self, death: Death, now: Monotonic) {
        let text = "PID 1 goes on after a fault of its own";
        self.services.note(None, text, now);
        self.console.say(now, Subject::Machine, &format!("problem: {text}"));
        for place in self.services.places() {
            let Some(belief) = self.services.belief(place) else { continue };
            for event in self.runner.reconcile(place, &belief) {
                self.happened(event, now);
            }
        }
        if death == Death::OneTooMany && self.shutdown.is_none() {
            last_words(TOO_OFTEN);
            self.console.say(now, Subject::Machine, &format!("problem: {TOO_OFTEN}"));
            let plan = Plan::begin(Ending::Reboot, Entry::Fault, now);
            self.dog.bite_at(plan.bites(), now);
            self.shutdown = Some(plan);
            let steps = self.services.shut_down(Ending::Reboot, TOO_OFTEN, now);
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
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    use super::*;

    /// What a supervisor of no services leaves.
    fn estate() -> Estate {
        let rest = Rest {
            notify: 7,
            server: serde_json::from_str(r#"{"listener":8,"seats":[],"generations":0}"#).unwrap(),
            logs: Logs::new(None, Monotonic::from_millis(0)).save(),
            log: None,
            dog: watchdog::Saved::none(),
            prober: Prober::default(),
            herald: Herald::default(),
            statuses: BTreeMap::new(),
            problems: BTreeMap::new(),
            told: 1,
            counters: Counters::new(Monotonic::from_millis(0)),
            faults: Faults::default(),
            shutdown: None,
        };
        Estate { seats: Vec::new(), rest, services: vec![1, 2, 3] }
    }

    fn opened(memory: &Memory, reason: Reason, second: u64) -> io::Result<Inheritance> {
        let file = File::options().read(true).write(true).open(format!("/proc/self/fd/{}", memory.number()));
        let memory = Memory::inherited(file.unwrap().into_raw_fd()).unwrap();
        Inheritance::open(memory, reason, Monotonic::from_millis(second * 1000))
    }

    #[test]
    fn a_fault_counts_before_anything_is_made_of_what_was_left_so_that_one_that_comes_back_has_an_end() {
        let mut memory = Memory::new().unwrap();
        memory.write(&estate().encode().unwrap()).unwrap();
        assert_eq!(opened(&memory, Reason::Wish, 1).unwrap().death, Death::Wished);
        // Each is dropped as if it had faulted at once.
        let death = |second| opened(&memory, Reason::Fault, second).map(|inheritance| inheritance.death);
        let deaths: Vec<Death> = (1..=4).map(|second| death(second).unwrap()).collect();
        assert_eq!(deaths, [Death::Borne, Death::Borne, Death::Borne, Death::OneTooMany]);
        let why = death(5).unwrap_err().to_string();
        assert_eq!(why, "PID 1 has faulted too often, and again while it ended");
        let left = opened(&memory, Reason::Wish, 6).unwrap().estate;
        assert_eq!(
            (left.rest.faults.total(), left.services),
            (5, vec![1, 2, 3]),
            "the rest is as it was left"
        );
    }

    #[test]
    fn a_reason_is_told_by_its_word() {
        for reason in [Reason::Wish, Reason::Fault] {
            assert_eq!(Reason::from_word(reason.word()), Some(reason));
        }
        assert_eq!(Reason::from_word("agent"), None);
    }
}
