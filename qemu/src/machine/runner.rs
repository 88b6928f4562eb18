//! One machine and the task that runs it: waits for an event, lets `Power` decide, does what it says.
//!
//! Effects only: processes, pipes, timers. Events carry the number of the start that they belong to, so that the last
//! words of a process that was killed are not taken for its successor's.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::console::ConsoleLog;
use super::driver::Driver;
use super::place::Place;
use super::power::{Action, Event, Exit, Off, Power, State};
use super::reaper::Reaper;
use super::spec::MachineSpec;
use super::start::{Happened, Start};
use crate::error::{Doing, Result, on};
use crate::{Mac, sys};

/// What somebody wants of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Start,
    /// Shut down, and be killed after this long.
    Stop(Duration),
    /// Shut down and start again, and be reset after this long.
    Reboot(Duration),
    Kill,
    Reset,
    Cycle,
}

/// A machine's power, as people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerState {
    /// There is no process.
    Off,
    /// It runs.
    On,
    /// It was asked to shut down.
    Stopping,
}

/// What is known of a machine from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub power: PowerState,
    /// Why it does not.
    pub off_because: Option<Off>,
    /// The process that is the machine.
    pub pid: Option<u32>,
    /// How often it has been switched on or reset by the lab.
    pub starts: u32,
    /// How the process ended the last time, if that was not what somebody wanted.
    pub last_crash: Option<String>,
    /// Milliseconds since it was switched on.
    pub on_for_ms: Option<u64>,
    /// Its card.
    pub mac: Mac,
    /// Its reserved address.
    pub address: Ipv4Addr,
    /// The log of its console.
    pub console: PathBuf,
}

/// A handle on a machine's task.
#[derive(Debug)]
pub(crate) struct Machine {
    orders: mpsc::UnboundedSender<Order>,
    status: Rc<RefCell<Status>>,
}

#[derive(Debug)]
struct Status {
    spec: Rc<MachineSpec>,
    console: PathBuf,
    state: State,
    pid: Option<u32>,
    starts: u32,
    started: Option<Instant>,
    last_crash: Option<String>,
}

impl Machine {
    /// Prepares a machine; it is off until it is told to start.
    pub(crate) fn new(
        spec: MachineSpec,
        place: Place,
        driver: Rc<dyn Driver>,
        reaper: Rc<Reaper>,
        farewell: Option<String>,
    ) -> Result<Self> {
        place.prepare(&spec)?;
        let spec = Rc::new(spec);
        let log = Rc::new(RefCell::new(ConsoleLog::open(&place.console())?));
        let power = Power::new(driver.abilities());
        let status = Rc::new(RefCell::new(Status {
            spec: Rc::clone(&spec),
            console: place.console(),
            state: power.state(),
            pid: None,
            starts: 0,
            started: None,
            last_crash: None,
        }));
        let (orders, inbox) = mpsc::unbounded_channel();
        let (events, happened) = mpsc::unbounded_channel();
        let runner = Runner {
            spec,
            place: Rc::new(place),
            driver,
            reaper,
            farewell: farewell.map(Rc::from),
            log,
            power,
            status: Rc::clone(&status),
            epoch: Instant::now(),
            events,
            generation: 0,
        };
        spawn_local(runner.run(inbox, happened));
        Ok(Machine { orders, status })
    }

    /// Hands an order over; it is carried out in turn.
    pub(crate) fn order(&self, order: Order) {
        // The task ends only with the lab.
        let _ = self.orders.send(order);
    }

    pub(crate) fn name(&self) -> String {
        self.status.borrow().spec.name.clone()
    }

    pub(crate) fn is_off(&self) -> bool {
        matches!(self.status.borrow().state, State::Off(_))
    }

    pub(crate) fn status(&self) -> MachineStatus {
        let status = self.status.borrow();
        let (power, off_because) = match status.state {
            State::Off(why) => (PowerState::Off, Some(why)),
            State::On | State::Rebooting { .. } | State::Dying { again: true } => (PowerState::On, None),
            State::Stopping { .. } | State::Dying { again: false } => (PowerState::Stopping, None),
        };
        let on_for = status.started.filter(|_| power != PowerState::Off).map(|at| at.elapsed().as_millis());
        MachineStatus {
            name: status.spec.name.clone(),
            power,
            off_because,
            pid: status.pid,
            starts: status.starts,
            last_crash: status.last_crash.clone(),
            on_for_ms: on_for.and_then(|ms| u64::try_from(ms).ok()),
            mac: status.spec.mac,
            address: status.spec.address,
            console: status.console.clone(),
        }
    }
}

/// After `LAB_PREFIX`, what the lab writes to a console whenever the machine starts from the beginning.
pub const POWER_ON: &str = "power on";

struct Runner {
    spec: Rc<MachineSpec>,
    place: Rc<Place>,
    driver: Rc<dyn Driver>,
    reaper: Rc<Reaper>,
    farewell: Option<Rc<str>>,
    log: Rc<RefCell<ConsoleLog>>,
    power: Power,
    status: Rc<RefCell<Status>>,
    epoch: Instant,
    events: mpsc::UnboundedSender<Happened>,
    generation: u32,
}

impl Runner {
    async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut happened: mpsc::UnboundedReceiver<Happened>,
    ) {
        loop {
            let event = tokio::select! {
                Some(order) = orders.recv() => match order {
                    Order::Start => Event::Start,
                    Order::Stop(patience) => Event::Stop(patience),
                    Order::Reboot(patience) => Event::Reboot(patience),
                    Order::Kill => Event::Kill,
                    Order::Reset => Event::Reset,
                    Order::Cycle => Event::Cycle,
                },
                Some(happened) = happened.recv() => {
                    if happened.generation != self.generation {
                        continue;
                    }
                    happened.event
                }
                else => return,
            };
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        let before = self.power.state();
        let actions = self.power.handle(event, self.epoch.elapsed());
        if let Event::Exited(exit) = event {
            self.note_exit(before, exit);
        }
        if event == Event::Farewell && self.power.state() == State::On {
            self.count_start();
        }
        for action in actions {
            self.perform(action);
        }
        self.status.borrow_mut().state = self.power.state();
    }

    fn note_exit(&mut self, before: State, exit: Exit) {
        let mut status = self.status.borrow_mut();
        status.pid = None;
        let how = match exit {
            Exit::Clean => "switched itself off".to_owned(),
            Exit::Status(code) => format!("ended with status {code}"),
            Exit::Signal(number) => format!("killed by signal {number}"),
        };
        if before == State::On && exit != Exit::Clean {
            status.last_crash = Some(how.clone());
        }
        self.log.borrow_mut().note(&how);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Spawn => {
                if let Err(error) = self.spawn() {
                    let chain = crate::error::chain(&error);
                    tracing::error!(machine = self.spec.name, error = chain, "machine not started");
                    self.log.borrow_mut().note(&format!("not started: {chain}"));
                    self.status.borrow_mut().last_crash = Some(chain);
                    self.power.spawn_failed();
                }
            }
            Action::PressPower => self.press(false),
            Action::ResetInPlace => {
                self.press(true);
                self.count_start();
            }
            Action::Kill => self.kill(),
            Action::WakeAt(at) => {
                let (events, generation) = (self.events.clone(), self.generation);
                let wait = at.saturating_sub(self.epoch.elapsed());
                spawn_local(async move {
                    tokio::time::sleep(wait).await;
                    let _ = events.send(Happened { generation, event: Event::Wake });
                });
            }
        }
    }

    fn spawn(&mut self) -> Result<()> {
        self.place.clear_scratch()?;
        let invocation = self.driver.invocation(&self.spec, &self.place);
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).doing(|| "making a pipe".to_owned())?;
        rustix::io::ioctl_fionbio(&reader, true).doing(|| "making a pipe".to_owned())?;
        let errors = writer.try_clone().doing(|| "making a pipe".to_owned())?;
        let mut command = Command::new(&invocation.program);
        command
            .args(&invocation.arguments)
            .envs(invocation.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(self.place.scratch())
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(errors);
        let child =
            sys::spawn_bound_to_us(&mut command, self.spec.cpu).doing(on("starting", &invocation.program))?;
        // The pipe's writing ends are the machine's alone, or its end would never be read.
        drop(command);
        self.generation += 1;
        let exit = self.reaper.expect(child.id());
        self.status.borrow_mut().pid = Some(child.id());
        self.count_start();
        let pipe = sys::watch(reader).doing(|| "watching the console".to_owned())?;
        let start = Start {
            log: Rc::clone(&self.log),
            farewell: self.farewell.clone(),
            events: self.events.clone(),
            generation: self.generation,
        };
        spawn_local(start.run(pipe, exit));
        Ok(())
    }

    fn count_start(&self) {
        let mut status = self.status.borrow_mut();
        status.starts += 1;
        status.started = Some(Instant::now());
        self.log.borrow_mut().note(&format!("{POWER_ON}, start {}", status.starts));
    }

    fn press(&self, reset: bool) {
        let (driver, place, log) = (Rc::clone(&self.driver), Rc::clone(&self.place), Rc::clone(&self.log));
        let (events, generation) = (self.events.clone(), self.generation);
        spawn_local(async move {
            log.borrow_mut().note(if reset { "reset" } else { "power button pressed" });
            let pressed =
                if reset { driver.reset_in_place(&place).await } else { driver.press_power(&place).await };
            if let Err(error) = pressed {
                // A button that does nothing: hold it down.
                log.borrow_mut().note(&format!("the button does not work: {}", crate::error::chain(&error)));
                let event = if reset { Event::Cycle } else { Event::Kill };
                let _ = events.send(Happened { generation, event });
            }
        });
    }

    fn kill(&self) {
        let Some(pid) = self.status.borrow().pid else { return };
        if let Err(error) = self.reaper.kill_group(pid) {
            tracing::warn!(machine = self.spec.name, %error, "machine not killed");
        }
    }
}
