//! A shell for PID 1's core: does, fails or forgets what the core wants done, as an input says.
//!
//! The model in init knows what must hold while the shell keeps its contract; here it need not keep it. What must hold
//! all the same: the record replays to the states, everything is explained, no timer is due for ever, and
//! a successor goes on where the core was.

use std::collections::VecDeque;
use std::sync::OnceLock;

use init::control::message::{Ending as MachineEnding, Finding, Order};
use init::monotonic::Monotonic;
use init::service::core::{
    Action, Deed, Digest, Ending, Event, History, Instance, Question, Report, Services, Step,
};
use machine_config::service::{Place, ServiceSpec, StopSignal, Table, Unit, layout};

use crate::input::Input;

/// What the core wanted and nobody has done yet; more is forgotten.
const OPEN_MAX: usize = 64;
/// How often PID 1 replaces itself: more of it is dear and shows nothing new.
const SUCCESSORS_MAX: u8 = 2;
/// How often a timer may be due at one and the same moment.
const SPINS_MAX: usize = 8;
/// The longest line of an explanation: names, and two texts of 200 characters.
const LINE_MAX: usize = 2000;

/// The core, and what it waits for.
#[derive(Debug)]
pub struct World {
    /// The core.
    pub services: Services,
    open: VecDeque<(Place, Instance, Action)>,
    questions: VecDeque<Question>,
    now: u64,
    successors: u8,
    origin: Origin,
}

/// Where the core's state is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Everything in it has happened.
    Lived,
    /// Bytes: moments and flags may contradict each other.
    Bytes,
}

impl World {
    /// A machine that has just started.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let history = History { confirmed: false, reboots: 0 };
        let services = Services::new(table, 11, history, Monotonic::from_millis(0));
        let mut world = Self { origin: Origin::Lived, ..Self::of(services) };
        world.tell(Event::Time);
        world
    }

    /// One that goes on with `services`, whoever made them.
    #[must_use]
    pub fn of(services: Services) -> Self {
        Self {
            services,
            open: VecDeque::new(),
            questions: VecDeque::new(),
            now: 0,
            successors: 0,
            origin: Origin::Bytes,
        }
    }

    fn moment(&self) -> Monotonic {
        Monotonic::from_millis(self.now)
    }

    /// Everything that the input says.
    pub fn live(&mut self, input: &mut Input<'_>) {
        while let Some(choice) = input.byte() {
            match choice % 16 {
                0 => self.pass(input),
                1..=5 => self.perform(true, input),
                6 => self.perform(false, input),
                7 | 8 => self.report(input),
                9 => self.answer(input),
                10 | 11 => {
                    let order = self.an_order(input);
                    self.order(&order);
                }
                12 => self.tell(Event::ClockJumped),
                13 => self.tell(Event::Pressure { high: input.below(2) == 1 }),
                14 if input.below(4) == 0 && self.successors < SUCCESSORS_MAX => self.succeed(),
                14 => self.tell(Event::Time),
                _ => {
                    if input.below(8) == 0 {
                        let steps = self.services.shut_down(
                            MachineEnding::Reboot,
                            "somebody\nwants it",
                            self.moment(),
                        );
                        self.take(steps);
                    } else {
                        self.tell(Event::ImageConfirmed);
                    }
                }
            }
        }
    }

    /// Tells the core something.
    pub fn tell(&mut self, event: Event) {
        let steps = self.services.handle(event, self.moment());
        self.take(steps);
    }

    /// Has the core carry out an order.
    pub fn order(&mut self, order: &Order) {
        let (_, steps) = self.services.order(order, Some(Digest(7)), self.moment());
        self.take(steps);
    }

    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            let Step::Service { service, instance, action } = step else { continue };
            assert!(service.index() < self.services.units().len(), "an action for nobody");
            match action {
                Action::Ask { question, .. } => self.questions.push_back(question),
                Action::Forget(question) => self.questions.retain(|asked| *asked != question),
                action => self.open.push_back((service, instance, action)),
            }
        }
        while self.open.len() > OPEN_MAX {
            self.open.pop_front();
        }
        while self.questions.len() > OPEN_MAX {
            self.questions.pop_front();
        }
    }

    /// Lets time pass: to the next deadline, or so long.
    fn pass(&mut self, input: &mut Input<'_>) {
        let due = self.services.deadline().map(Monotonic::millis);
        self.now = match (input.below(3), due) {
            (0, Some(due)) => self.now.max(due),
            (1, _) => self.now.saturating_add(input.number() & 0xffff_ffff),
            _ => self.now.saturating_add(100 * u64::try_from(input.below(256)).unwrap()),
        };
        // Only who has lived is known to have no such timer.
        let spins = if self.origin == Origin::Lived { SPINS_MAX } else { 1 };
        for _ in 0..spins {
            self.tell(Event::Time);
            if self.services.deadline().is_none_or(|due| due > self.moment()) {
                return;
            }
        }
        assert!(self.origin == Origin::Bytes, "a timer at {} is due for ever", self.now);
    }

    /// Does the oldest thing that the core wanted, or fails at it.
    fn perform(&mut self, well: bool, input: &mut Input<'_>) {
        let Some((service, instance, action)) = self.open.pop_front() else { return };
        let why = || "Cannot allocate memory".to_owned();
        let end = |well: bool| if well { Ending::Status(0) } else { Ending::Signal(9) };
        let reports = match action {
            Action::Prepare if well => vec![Report::Prepared],
            Action::Prepare => vec![Report::CouldNot(Deed::Prepare, why())],
            Action::RunStep { kind, index } => vec![Report::StepEnded { kind, index, how: end(well) }],
            Action::StartMain if well => vec![Report::Started { overlay: None }],
            Action::StartMain => vec![Report::Ended(Ending::NotStarted(why()))],
            Action::SignalMain(_) if well && input.below(2) == 0 => vec![Report::Ended(Ending::Status(0))],
            Action::SignalMain(_) if well => Vec::new(),
            Action::SignalMain(_) => vec![Report::CouldNot(Deed::Signal, why())],
            Action::KillMain | Action::KillStep | Action::KillGroup | Action::KillReload if !well => {
                vec![Report::CouldNot(Deed::Kill, why())]
            }
            Action::KillMain => vec![Report::Ended(end(false))],
            Action::KillGroup => vec![Report::Ended(end(false)), Report::GroupEmpty],
            Action::WatchGroup => vec![Report::GroupEmpty],
            Action::RemoveGroup | Action::SpareGroup if well => vec![Report::GroupRemoved],
            Action::RemoveGroup | Action::SpareGroup => vec![Report::CouldNot(Deed::Remove, why())],
            Action::RunReload => vec![Report::ReloadEnded(end(well))],
            Action::KillReload => vec![Report::ReloadEnded(end(false))],
            Action::KillStep | Action::FreezeLog | Action::Ask { .. } | Action::Forget(_) => Vec::new(),
        };
        for report in reports {
            self.tell(Event::Report { service, instance, report });
        }
    }

    fn somebody(&self, input: &mut Input<'_>) -> Place {
        // One more than there are: who is not there must do no harm.
        Place(u16::try_from(input.below(self.services.units().len() + 1)).unwrap())
    }

    /// A report that nobody asked for, perhaps about an instance that is gone or never was.
    fn report(&mut self, input: &mut Input<'_>) {
        let service = self.somebody(input);
        let latest = self.services.instance(service).unwrap_or_default();
        let instance = match input.below(6) {
            0 => Instance(latest.0.wrapping_sub(1)),
            1 => Instance(u64::MAX),
            _ => latest,
        };
        let report = match input.below(14) {
            0 | 1 => Report::SaidReady,
            2 => Report::WroteReady,
            3 => Report::SaidReloading,
            4 => Report::Extended(std::time::Duration::from_micros(input.number())),
            5 => Report::Pinged,
            6 => Report::OutOfMemory,
            7 | 8 => Report::Ended(Ending::Status(i32::try_from(input.below(256)).unwrap())),
            9 => Report::Ended(Ending::Signal(i32::try_from(input.below(256)).unwrap())),
            10 => Report::GroupEmpty,
            11 => Report::Started { overlay: Some(Digest(input.number())) },
            12 => Report::Prepared,
            _ => Report::CouldNot(Deed::Kill, String::from_utf8_lossy(input.bytes(255)).into_owned()),
        };
        self.tell(Event::Report { service, instance, report });
    }

    fn answer(&mut self, input: &mut Input<'_>) {
        let question = if input.below(8) == 0 {
            Question(input.number())
        } else {
            let Some(question) = self.questions.pop_front() else { return };
            question
        };
        let finding = [Finding::Good, Finding::Good, Finding::Bad, Finding::CouldNotAsk][input.below(4)];
        self.tell(Event::Answered { question, finding });
    }

    fn an_order(&self, input: &mut Input<'_>) -> Order {
        let place = self.somebody(input);
        let service = self.services.name(place).to_owned();
        let cascade = input.below(2) == 1;
        match input.below(10) {
            0 => Order::Start(service),
            1 | 2 => Order::Stop { service, cascade },
            3 => Order::Restart { service, cascade },
            4 => Order::Reload(service),
            5 => Order::Apply(service),
            6 => Order::Reset(service),
            7 => Order::Hold(service),
            8 => Order::Release(service),
            _ => Order::Signal { service, signal: StopSignal::Hup },
        }
    }

    /// PID 1 replaces itself.
    pub fn succeed(&mut self) {
        let saved = self.services.save().expect("what is in memory can be saved");
        // From the image again, as it is.
        let table = Table { units: self.services.units().iter().map(|unit| Unit::clone(unit)).collect() };
        let successor = Services::restore(table, &saved).expect("what was saved can be restored");
        assert_eq!(successor.save().as_ref(), Ok(&saved), "a successor is another");
        assert_eq!(states(&successor), states(&self.services));
        self.services = successor;
        self.successors += 1;
    }

    /// What holds at any time.
    pub fn check(&self) {
        let journal = self.services.journal();
        assert_eq!(journal.replay(), states(&self.services), "the record replays to something else");
        assert!(journal.since(0).map(|(number, _)| number).eq(journal.oldest()..journal.next()), "gaps");
        let events = self.services.events(0, usize::MAX);
        assert!(events.iter().all(|event| is_line(&event.cause)));
        for place in self.services.places() {
            let lines = self.services.explain(place);
            assert!(!lines.is_empty(), "nobody says why");
            assert!(lines.iter().all(|line| is_short(line)));
            assert!(self.services.view(place).is_some() && self.services.belief(place).is_some());
        }
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= LINE_MAX || text.chars().count() <= LINE_MAX
}

fn is_line(text: &str) -> bool {
    // Without a branch per byte, each of which would be told to the fuzzer.
    let controls = text.bytes().fold(0_u8, |found, byte| found | u8::from(byte.is_ascii_control()));
    is_short(text) && controls == 0 && (text.is_ascii() || !text.chars().any(char::is_control))
}

fn states(services: &Services) -> Vec<init::control::message::StateName> {
    services.places().filter_map(|place| services.state(place)).collect()
}

/// Services of every kind that the core tells apart, five of them.
#[must_use]
pub fn small_table() -> Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    let specs = || SMALL.iter().map(|text| toml::from_str(text).unwrap()).collect::<Vec<ServiceSpec>>();
    TABLE.get_or_init(|| layout(&specs()).unwrap()).clone()
}

const SMALL: [&str; 5] = [
    r#"
name = "a"
description = "a task"
exec = ["/bin/a"]
ready = { by = "exit" }
restart = { attempts = 3 }
before-start = [["/bin/b"]]
"#,
    r#"
name = "b"
description = "tells"
exec = ["/bin/b"]
ready = { by = "notify" }
liveness = { every = "10s" }
reload = { by = "signal", signal = "hup" }
signals = ["hup"]
milestones = ["a"]
class = "node"
"#,
    r#"
name = "c"
description = "is asked"
exec = ["/bin/c"]
ready = { by = "probe", ask = ["tcp", "127.0.0.1:1"] }
start-timeout = "none"
reload = { by = "command", command = ["/bin/r"] }
requires = [{ service = "b", on-loss = "restart" }]
after-stop = [["/bin/s"]]
class = "critical"
"#,
    r#"
name = "d"
description = "goes down with c"
exec = ["/bin/d"]
ready = { by = "descriptor", number = 3 }
requires = [{ service = "c", on-loss = "stop" }]
wants = [{ service = "e", within = "7s" }]
stop = { signal = "usr1", timeout = "3s", kill = "process" }
"#,
    r#"
name = "e"
description = "on demand"
exec = ["/bin/e"]
ready = { by = "exec" }
start = "on-demand"
milestone = false
restart = { exit = "last" }
"#,
];
