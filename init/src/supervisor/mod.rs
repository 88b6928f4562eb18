//! PID 1 at work: waits for one thing to happen, has it decided, does what was decided.
//!
//! One thread, one epoll, no wait without a deadline where something is due. Decisions are
//! `service::set`'s, processes are `service::runner`'s, words are `service::report`'s; the
//! machine's end, once it is asked for, is `shutdown`'s.

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

mod key;
pub mod token;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use machine_config::service::Table;
use node_sys::event::{Interest, Poll, Signal, Signals};
use node_sys::notify::Listener;
use node_sys::process;

use self::token::Token;
use crate::agent::image::Image;
use crate::console::{Console, Subject};
use crate::monotonic::Monotonic;
use crate::service::notice::{self, Notice};
use crate::service::report;
use crate::service::runner::Runner;
use crate::service::set::{Id, Services, Step};
use crate::service::state::{Action, Event, News, Standing};
use crate::shutdown::Ending;

/// Where services tell that they are ready.
const NOTIFY_SOCKET: &str = "/run/slipway/notify";
/// From the wish to end to the end of every service, ready or not.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(30);
/// Between two attempts to write to a console that does not keep up.
const CONSOLE_PAUSE: Duration = Duration::from_millis(100);
/// A service's last lines that go to the console when it ends.
const LINES_OF_A_FAILURE: usize = 10;
/// Messages and signals taken per turn, so that no sender keeps us from the rest.
const PER_TURN: usize = 256;

/// PID 1.
#[derive(Debug)]
pub struct Supervisor {
    poll: Poll,
    signals: Signals,
    notify: Listener,
    keys: Vec<File>,
    console: Console,
    image: Option<Image>,
    services: Services,
    runner: Runner,
    started: BTreeMap<Id, Monotonic>,
    statuses: BTreeMap<Id, String>,
    problems: BTreeMap<Id, String>,
    up_since: Option<Monotonic>,
    shutdown: Option<Shutdown>,
}

#[derive(Debug, Clone, Copy)]
struct Shutdown {
    ending: Ending,
    deadline: Monotonic,
}

impl Supervisor {
    /// Listens to everything; starts nothing yet.
    ///
    /// # Errors
    /// When the kernel gives no descriptors: then there is nothing to supervise with.
    pub fn new(console: Console, image: Option<Image>, table: Table) -> io::Result<Self> {
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
        let services = Services::new(&table);
        let runner = Runner::new(table, Path::new(NOTIFY_SOCKET), &poll)?;
        Ok(Self {
            poll,
            signals,
            notify,
            keys,
            console,
            image,
            services,
            runner,
            started: BTreeMap::new(),
            statuses: BTreeMap::new(),
            problems: BTreeMap::new(),
            up_since: None,
            shutdown: None,
        })
    }

    /// Runs the machine until it is to end; gives the console back.
    pub fn run(mut self) -> (Console, Ending) {
        loop {
            let now = Monotonic::now();
            let steps = self.services.time(now);
            self.perform(steps, now);
            if let Some(shutdown) = self.shutdown
                && (self.services.all_stopped() || shutdown.deadline <= now)
            {
                return (self.console, shutdown.ending);
            }
            match self.poll.wait(Some(self.patience(now))) {
                Ok(ready) => self.turn(&ready),
                // Nobody knows why that should happen; services are worth more than the answer.
                Err(_) => {
                    thread::sleep(CONSOLE_PAUSE);
                    self.turn(&[Token::Signals.to_raw()]);
                }
            }
        }
    }

    /// How long nothing is due.
    fn patience(&self, now: Monotonic) -> Duration {
        let due = [self.services.deadline(), self.shutdown.map(|shutdown| shutdown.deadline)];
        let next = due.into_iter().flatten().min().map(|deadline| deadline.since(now));
        let console = self.console.is_behind().then_some(CONSOLE_PAUSE);
        // An hour: to have a bound, nothing depends on it.
        [next, console].into_iter().flatten().min().unwrap_or(Duration::from_secs(3600))
    }

    /// One turn: words before ends, so that a service that says READY and exits was ready.
    fn turn(&mut self, ready: &[u64]) {
        let now = Monotonic::now();
        let tokens: Vec<Token> = ready.iter().filter_map(|raw| Token::from_raw(*raw)).collect();
        self.hear(now);
        for token in &tokens {
            if let Token::Output(service) = token {
                self.show_output(*service, now);
            }
        }
        for token in tokens {
            match token {
                Token::Signals => self.take_signals(now),
                Token::Key(n) => self.take_keys(n, now),
                Token::Group(service) => {
                    if let Some(event) = self.runner.group_changed(service) {
                        self.happened(service, event, now);
                    }
                }
                Token::Notify | Token::Output(_) => {}
            }
        }
        self.console.flush();
    }

    fn hear(&mut self, now: Monotonic) {
        for _ in 0..PER_TURN {
            // An unreadable message is one that nobody sent properly.
            let Ok(Some(message)) = self.notify.next() else { return };
            let Some((service, instance)) = self.runner.speaker(message.pid) else { continue };
            for notice in notice::read(&message.text) {
                match notice {
                    Notice::Ready => self.happened(service, Event::SaidReady(instance), now),
                    Notice::Problem(text) => self.problem(service, text, now),
                    Notice::Status(text) => self.status(service, text, now),
                }
            }
        }
    }

    fn problem(&mut self, service: Id, text: String, now: Monotonic) {
        if self.problems.get(&service) != Some(&text) {
            self.console.say(now, Subject::Machine, &format!("problem: {text}"));
            self.problems.insert(service, text);
        }
    }

    fn status(&mut self, service: Id, text: String, now: Monotonic) {
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

    fn show_output(&mut self, service: Id, now: Monotonic) {
        for line in self.runner.read_output(service, now) {
            if self.up_since.is_none() {
                self.console.write_line(&format!("{}| {line}", self.services.name(service)));
            }
        }
    }

    fn take_signals(&mut self, now: Monotonic) {
        for _ in 0..PER_TURN {
            match self.signals.next() {
                Ok(Some(Signal::Child)) => {}
                Ok(Some(Signal::Terminate | Signal::Interrupt)) => self.end(Ending::Reboot, now),
                Ok(Some(Signal::User2 | Signal::Power)) => self.end(Ending::PowerOff, now),
                Ok(None) | Err(_) => break,
            }
        }
        // One SIGCHLD may stand for many: reap until nobody is left.
        while let Ok(Some((pid, exit))) = process::reap() {
            if let Some((service, event)) = self.runner.reaped(pid, exit) {
                self.show_output(service, now);
                self.happened(service, event, now);
            }
        }
    }

    fn take_keys(&mut self, n: usize, now: Monotonic) {
        match self.keys.get(n).map(key::power_pressed) {
            Some(Ok(true)) => self.end(Ending::PowerOff, now),
            Some(Err(_)) => {
                // Unplugged: it would be reported as ready for ever.
                if let Some(device) = self.keys.get(n) {
                    let _ = self.poll.remove(device);
                }
            }
            _ => {}
        }
    }

    /// Begins the end; asked a second time, it ends without further waiting.
    fn end(&mut self, ending: Ending, now: Monotonic) {
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.deadline = now;
            return;
        }
        self.console.say(now, Subject::Machine, &format!("shutting down ({ending})"));
        self.shutdown = Some(Shutdown { ending, deadline: now.after(SHUTDOWN_WITHIN) });
        let steps = self.services.stop_all(now);
        self.perform(steps, now);
    }

    fn happened(&mut self, service: Id, event: Event, now: Monotonic) {
        let steps = self.services.handle(service, event, now);
        self.perform(steps, now);
    }

    fn perform(&mut self, steps: Vec<Step>, now: Monotonic) {
        let mut queue = VecDeque::from(steps);
        while let Some(Step { service, action }) = queue.pop_front() {
            match &action {
                Action::Tell(news) => self.tell(service, news, now),
                Action::Start(_) => {
                    self.started.insert(service, now);
                }
                _ => {}
            }
            if let Some(event) = self.runner.perform(service, &action, &self.poll) {
                queue.extend(self.services.handle(service, event, now));
            }
        }
        if self.services.comes_up() {
            self.up_since = Some(now);
            self.tell_that_up(now);
        }
    }

    fn tell(&mut self, service: Id, news: &News, now: Monotonic) {
        if let (News::Ended(..), Some(up)) = (news, self.up_since) {
            // Until the machine was up, everything was shown as it came.
            let since = self.started.get(&service).map_or(up, |started| *started.max(&up));
            for line in self.runner.last_lines(service, since, LINES_OF_A_FAILURE) {
                self.console.write_line(&format!("{}| {line}", self.services.name(service)));
            }
        }
        if let News::Ready(_) = news {
            self.problems.remove(&service);
        }
        self.console.say(now, Subject::Service(self.services.name(service)), &report::text(news));
    }

    /// What a person needs who comes to a machine that is up.
    fn tell_that_up(&mut self, now: Monotonic) {
        self.console.say(now, Subject::Machine, "up");
        if let Some(image) = &self.image {
            let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let text = format!("{}, role {}, version {}", name.trim(), image.role, image.version);
            self.console.say(now, Subject::Machine, &text);
        }
        for status in self.statuses.values() {
            self.console.say(now, Subject::Machine, status);
        }
        let services: Vec<String> =
            self.services.standings().map(|(name, standing)| format!("{name} {}", word(standing))).collect();
        self.console.say(now, Subject::Machine, &format!("services: {}", services.join(", ")));
        for problem in self.problems.values() {
            self.console.say(now, Subject::Machine, &format!("problem: {problem}"));
        }
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "waiting",
        Standing::Starting => "starting",
        Standing::Ready => "ready",
        Standing::Failed => "failed",
        Standing::Stopping => "stopping",
        Standing::Stopped => "stopped",
    }
}
