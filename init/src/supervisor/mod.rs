//! PID 1 at work: waits for one thing to happen, has it decided, does what was decided.
//!
//! One thread, one epoll, no wait without a deadline where something is due. Decisions are
//! `service::core`'s, processes `service::runner`'s. Beside the loop: `answer` for our own
//! processes, `prober` for questions to services, `tell` for the console. The machine's end,
//! once its services have ended, is `shutdown`'s.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod answer;
mod ending;
mod key;
mod logs;
mod own;
mod prober;
mod reading;
mod strain;
pub mod succession;
mod tell;
pub mod token;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use machine_config::service::{Place, Ready, Table};
use node_sys::event::{Interest, Poll, Signal, Signals};
use node_sys::notify::Listener;
use node_sys::process;
use node_sys::resume::Memory;

use self::ending::Herald;
use self::logs::Logs;
use self::own::Counters;
use self::prober::Prober;
use self::strain::Strain;
use self::token::Token;
use crate::agent::image::Image;
use crate::console::{Console, Subject};
use crate::control::message::Ending;
use crate::control::server::Server;
use crate::monotonic::Monotonic;
use crate::service::core::{
    About, Action, Demand, Event, History, Insistence, Phase, Plan, Report, Services, Step,
};
use crate::service::notice::{self, Notice};
use crate::service::runner::Runner;
use crate::shutdown;
use crate::watchdog::Dog;

/// Where services tell that they are ready.
const NOTIFY_SOCKET: &str = "/run/slipway/notify";
/// Between two waits that fail.
const FAILED_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks for what is left when everything was killed.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);
/// There are no updates yet, so no image waits to be confirmed. Until the past is known, there were too many reboots.
const HISTORY: History = History { confirmed: true, reboots: u8::MAX };
/// Processes that are made after one look at what must be remembered.
const BIRTHS_AT_ONCE: usize = 8;
/// So many turns in a row leave groups behind in which nobody is any more.
const UNTIDY_TURNS: u32 = 64;
/// Messages taken per turn, so that no sender keeps us from the rest.
const PER_TURN: usize = 256;

/// PID 1.
#[derive(Debug)]
pub struct Supervisor {
    poll: Poll,
    signals: Signals,
    notify: Listener,
    keys: Vec<File>,
    server: Server,
    prober: Prober,
    console: Console,
    image: Option<Image>,
    services: Services,
    runner: Runner,
    logs: Logs,
    strain: Strain,
    insistence: Insistence,
    herald: Herald,
    statuses: BTreeMap<Place, String>,
    problems: BTreeMap<Place, String>,
    /// The number of the first event that the console has not told.
    told: u64,
    counters: Counters,
    dog: Dog,
    shutdown: Option<Plan>,
    memory: Option<Memory>,
    /// Whether anything is another than what was remembered.
    changed: bool,
    /// What was remembered, for its room.
    brief: Vec<u8>,
    /// Whether it is to replace itself at the end of the turn.
    reexec: bool,
    /// Whether the machine came up in this turn.
    came_up: bool,
}

impl Supervisor {
    /// Listens to everything; starts nothing yet. `log` is the reading end of what PID 1 itself says,
    /// `memory` what survives a fault.
    ///
    /// # Errors
    /// When the kernel gives no descriptors: then there is nothing to supervise with.
    pub fn new(
        mut console: Console,
        log: Option<OwnedFd>,
        image: Option<Image>,
        table: Table,
        memory: Option<Memory>,
    ) -> io::Result<Self> {
        let now = Monotonic::now();
        let poll = Poll::new()?;
        let signals = Signals::listen()?;
        poll.add(&signals, Token::Signals.to_raw(), Interest::Read)?;
        let notify = Listener::bind(Path::new(NOTIFY_SOCKET))?;
        // Services that are not root speak, too; whose word counts is decided by the sender's pid.
        fs::set_permissions(NOTIFY_SOCKET, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        poll.add(&notify, Token::Notify.to_raw(), Interest::Read)?;
        let keys = key::devices();
        for (n, device) in keys.iter().enumerate() {
            poll.add(device, Token::Key(n).to_raw(), Interest::Read)?;
        }
        let server = Server::listen(&poll)?;
        // Spreads pauses between machines that were switched on at once; it guards nothing.
        let seed = u64::from(node_sys::uptime::since_boot().subsec_nanos()) ^ now.millis();
        let mut services = Services::new(table, seed, HISTORY, now);
        let runner = Runner::new(services.units(), Path::new(NOTIFY_SOCKET))?;
        let (dog, told, bitten) = Dog::arm(now);
        services.note(None, &told, now);
        if let Some(problem) = bitten {
            services.note(None, problem, now);
            console.say(now, Subject::Machine, &format!("problem: {problem}"));
        }
        let (strain, untold) = Strain::watch(&poll, None);
        untold.iter().for_each(|text| services.note(None, text, now));
        Ok(Self {
            strain,
            insistence: Insistence::default(),
            poll,
            signals,
            notify,
            keys,
            server,
            prober: Prober::default(),
            console,
            image,
            services,
            runner,
            logs: Logs::new(log, now),
            herald: Herald::default(),
            statuses: BTreeMap::new(),
            problems: BTreeMap::new(),
            told: 0,
            counters: Counters::new(now),
            dog,
            shutdown: None,
            memory,
            changed: true,
            brief: Vec::new(),
            reexec: false,
            came_up: false,
        })
    }

    /// Runs the machine until it is to end; gives back what the rest of the end needs.
    pub fn run(mut self) -> (Console, Plan, Dog) {
        let mut untidied = 0_u32;
        loop {
            let began = Instant::now();
            let now = Monotonic::now();
            self.dog.pet(now);
            if self.services.deadline().is_some_and(|due| due <= now) {
                self.happened(Event::Time, now);
            }
            self.look_after_logd(now);
            if let Some(event) = self.strain.time(now) {
                self.happened(event, now);
            }
            self.tell();
            self.console.flush();
            if let Some(plan) = self.go_on_ending(now) {
                return (self.console, plan, self.dog);
            }
            self.remember();
            if std::mem::take(&mut self.reexec) {
                self.runner.tidy(&self.poll);
                self.replace(now);
            }
            if std::mem::take(&mut self.came_up) {
                // Most of what ran until now never runs again, and what it kept is free. If it stays, it stays.
                let _ = node_sys::memory::forget_code();
                node_sys::memory::give_back_heap();
            }
            self.counters.turned(began);
            let untidy = self.runner.is_untidy();
            let patience = if untidy { Duration::ZERO } else { self.patience(now) };
            match self.poll.wait(Some(patience)) {
                Ok(ready) => {
                    let tokens: Vec<Token> = ready.into_iter().filter_map(Token::from_raw).collect();
                    // Whoever asks is told of groups as they are. Else: removing them takes longer than hearing of the ends of all who were in them.
                    let postponed = untidy && !tokens.is_empty() && untidied < UNTIDY_TURNS;
                    untidied = if postponed { untidied.saturating_add(1) } else { 0 };
                    if untidy && (!postponed || tokens.iter().any(Token::is_asking)) {
                        self.runner.tidy(&self.poll);
                        self.changed = true;
                    }
                    self.turn(tokens);
                }
                // Nobody knows why that should happen; services are worth more than the answer.
                Err(_) => {
                    thread::sleep(FAILED_PAUSE);
                    self.turn(vec![Token::Signals]);
                }
            }
        }
    }

    /// How long nothing is due.
    fn patience(&self, now: Monotonic) -> Duration {
        let end = self.shutdown.as_ref().and_then(Plan::deadline);
        let due = [
            self.services.deadline(),
            self.dog.due(),
            self.logs.due(self.strain.is_short()),
            self.strain.due(),
            end,
        ];
        let next = due.into_iter().flatten().min().map(|deadline| deadline.since(now));
        let console = self.console.pause(now);
        // Nothing tells when the last process of a group is gone that is not a service's.
        let sweeping = self.shutdown.as_ref().is_some_and(|plan| plan.phase() == Phase::Kill);
        let sweep = sweeping.then_some(SWEEP_PAUSE);
        // An hour: to have a bound, nothing depends on it.
        [next, console, sweep].into_iter().flatten().min().unwrap_or(Duration::from_secs(3600))
    }

    /// One turn: words before ends, so that a service that says READY and exits was ready.
    fn turn(&mut self, tokens: Vec<Token>) {
        let now = Monotonic::now();
        // Whatever else is ready changes something only if it makes something happen.
        self.changed |= tokens.iter().any(Token::is_asking);
        for token in &tokens {
            match token {
                Token::Output(service) => {
                    let (pipe, pipes) = (self.runner.output(*service), self.runner.outputs());
                    self.logs.printed(pipe, now, pipes, &self.poll);
                }
                Token::Log => self.logs.printed(None, now, self.runner.outputs(), &self.poll),
                Token::Execution(service) => {
                    if let Some(event) = self.runner.execution_changed(*service, &self.poll) {
                        self.happened(event, now);
                    }
                }
                _ => {}
            }
        }
        // Without an end there is no hurry to hear the words before it.
        if tokens.iter().any(|token| matches!(token, Token::Notify | Token::Signals)) {
            self.hear(now);
        }
        for token in tokens {
            match token {
                Token::Signals => self.take_signals(now),
                Token::Key(n) => self.take_keys(n, now),
                Token::Control => {
                    for client in self.server.accept(&self.poll) {
                        self.client_gone(client, now);
                    }
                }
                Token::Client(seat) => self.hear_client(seat, now),
                Token::Clock => {
                    if let Some(event) = self.strain.clock(&self.poll) {
                        self.happened(event, now);
                    }
                }
                Token::Pressure => {
                    if let Some(event) = self.strain.short(now) {
                        self.happened(event, now);
                    }
                }
                Token::Readiness(service) => {
                    if let Some(event) = self.runner.readiness_written(service, &self.poll) {
                        self.happened(event, now);
                    }
                }
                Token::Group(service) => {
                    for event in self.runner.group_changed(service, &self.poll) {
                        self.happened(event, now);
                    }
                }
                Token::Notify | Token::Output(_) | Token::Log | Token::Execution(_) => {}
            }
        }
    }

    fn hear(&mut self, now: Monotonic) {
        for _ in 0..PER_TURN {
            // An unreadable message is one that nobody sent properly.
            let Ok(Some(message)) = self.notify.next() else { return };
            let speaker = self.runner.speaker(message.pid);
            // Asked afterwards: until now its number was its own, and what was found by it is true.
            let Some((service, instance)) = speaker.filter(|_| message.sender_is_there()) else { continue };
            for notice in notice::read(&message.text) {
                let report = match notice {
                    Notice::Ready => Report::SaidReady,
                    Notice::Reloading => Report::SaidReloading,
                    Notice::Alive => Report::Pinged,
                    Notice::Extend(time) => Report::Extended(time),
                    Notice::Problem(text) => {
                        self.problem(service, text, now);
                        continue;
                    }
                    Notice::Status(text) => {
                        self.status(service, text, now);
                        continue;
                    }
                };
                self.happened(Event::Report { service, instance, report }, now);
            }
        }
    }

    fn take_signals(&mut self, now: Monotonic) {
        // One: if there are others, they wake us again.
        match self.signals.next() {
            Ok(Some(Signal::Terminate | Signal::Interrupt)) => {
                self.pressed(Ending::Reboot, "by a signal", now);
            }
            Ok(Some(Signal::User2 | Signal::Power)) => {
                self.pressed(Ending::PowerOff, "by a signal", now);
            }
            Ok(Some(Signal::Child) | None) | Err(_) => {}
        }
        // One SIGCHLD may stand for many: reap until nobody is left.
        while let Ok(Some((pid, exit))) = process::reap() {
            self.counters.reaped();
            for event in self.runner.reaped(pid, exit, &self.poll) {
                self.happened(event, now);
            }
        }
    }

    fn take_keys(&mut self, n: usize, now: Monotonic) {
        match self.keys.get(n).map(key::power_pressed) {
            Some(Ok(true)) => self.pressed(Ending::PowerOff, "the power button", now),
            Some(Err(_)) => {
                // Unplugged: it would be reported as ready for ever.
                if let Some(device) = self.keys.get(n) {
                    let _ = self.poll.remove(device);
                }
            }
            _ => {}
        }
    }

    fn happened(&mut self, event: Event, now: Monotonic) {
        let next = self.services.journal().next();
        self.changed |= !matches!(event, Event::Time);
        let steps = self.services.handle(event, now);
        // Time alone changes nothing most of the time: what it does change is on the record.
        self.changed |= next != self.services.journal().next();
        self.perform(steps, now);
    }

    /// Does what was decided. What makes a process comes later, and is remembered before: whoever recovers from
    /// a fault in between looks for the process that was about to be made, and makes no second one. Not last:
    /// those made first begin while the groups of others are still to be made.
    fn perform(&mut self, steps: Vec<Step>, now: Monotonic) {
        let mut queue = VecDeque::from(steps);
        let mut births = Vec::new();
        loop {
            while births.len() < BIRTHS_AT_ONCE
                && let Some(step) = queue.pop_front()
            {
                self.changed = true;
                if step.makes_process() {
                    births.push(step);
                } else {
                    queue.extend(self.perform_one(step, now));
                }
            }
            if births.is_empty() {
                return;
            }
            self.remember();
            for step in births.drain(..) {
                self.changed = true;
                queue.extend(self.perform_one(step, now));
            }
        }
    }

    fn perform_one(&mut self, step: Step, now: Monotonic) -> Vec<Step> {
        match step {
            Step::Machine(demand) => self.demanded(demand, now),
            Step::Service { service, action: Action::Ask { question, about, within }, .. } => {
                let words = self.words(service, about);
                self.prober.ask(question, words, within, &mut self.server, &self.poll);
            }
            Step::Service { action: Action::Forget(question), .. } => {
                self.prober.forget(question, &mut self.server, &self.poll);
            }
            Step::Service { service, action: Action::FreezeLog, .. } => self.tell_of_failure(service),
            Step::Service { service, instance, action } => {
                if let Some(event) = self.runner.perform(service, instance, &action, &self.poll) {
                    return self.services.handle(event, now);
                }
            }
        }
        Vec::new()
    }

    fn demanded(&mut self, demand: Demand, now: Monotonic) {
        match demand {
            Demand::Up => {
                self.tell_that_up(now);
                self.came_up = true;
            }
            Demand::Alarm { service, why } => {
                let text = format!("{}: {why}", self.services.name(service));
                self.problem(service, text, now);
            }
            Demand::Degraded { service } => {
                let text = format!("the node does not do its work for {}", self.services.name(service));
                self.problem(service, text, now);
            }
            Demand::Reboot { reason, .. } => {
                self.count_reboot(now);
                self.end(Ending::Reboot, &reason, now);
            }
        }
    }

    /// Has it written down: PID 1 itself waits for no disk.
    fn count_reboot(&mut self, now: Monotonic) {
        if let Err(error) = shutdown::child(&["agent", "count-reboot"], &self.console, None) {
            let text = format!("problem: counting this reboot: {error}");
            self.console.say(now, Subject::Machine, &text);
        }
    }

    /// The words of the question that a unit's readiness or liveness asks.
    fn words(&self, service: Place, about: About) -> Vec<String> {
        let Some(unit) = self.services.unit(service) else { return Vec::new() };
        match (about, &unit.ready, &unit.liveness) {
            (About::Readiness, Ready::Probe { ask, .. }, _) => ask.clone(),
            (About::Liveness, _, Some(liveness)) => liveness.ask.clone().unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}
