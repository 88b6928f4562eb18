//! What a scenario asks of PID 1, over its control socket, and waiting for what follows.
//!
//! Every question must be answered, or the scenario has failed. A wait says what it waits for and
//! is generous: machines that run tests are slow.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use init::control::message::{Answer, EVENTS_MAX, EventRecord, Order, Own, Request, ServiceView, StateName};
use init::control::{CONTROL, client};

/// Longer than anything takes that is not given its own time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// PID 1, to be asked.
#[derive(Debug)]
pub(crate) struct Pid1;

/// Waits until `seen` gives something.
pub(crate) fn until<T>(what: &str, within: Duration, mut seen: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(LOOK);
    }
}

impl Pid1 {
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        client::ask(Path::new(CONTROL), request).unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }

    pub(crate) fn services(&self) -> Vec<ServiceView> {
        match self.ask(&Request::Services) {
            Answer::Services(services) => services,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn service(&self, name: &str) -> ServiceView {
        let found = self.services().into_iter().find(|service| service.name == name);
        found.unwrap_or_else(|| panic!("no service {name}"))
    }

    pub(crate) fn state(&self, name: &str) -> StateName {
        self.service(name).state
    }

    /// The main process of a service that runs.
    pub(crate) fn pid(&self, name: &str) -> i32 {
        self.service(name).pid.unwrap_or_else(|| panic!("{name} does not run"))
    }

    pub(crate) fn own(&self) -> Own {
        match self.ask(&Request::Own) {
            Answer::Own(own) => own,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn explain(&self, name: &str) -> Vec<String> {
        match self.ask(&Request::Explain(name.to_owned())) {
            Answer::Explained(lines) => lines,
            other => panic!("{other:?}"),
        }
    }

    /// All events from number `since` on that are kept.
    pub(crate) fn events(&self, since: u64) -> Vec<EventRecord> {
        let mut all: Vec<EventRecord> = Vec::new();
        loop {
            let since = all.last().map_or(since, |last| last.number + 1);
            match self.ask(&Request::Events { since, most: EVENTS_MAX }) {
                Answer::Events { events, .. } if events.is_empty() => return all,
                Answer::Events { events, .. } => all.extend(events),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The states that a service went through since event `since`, in order.
    pub(crate) fn path(&self, name: &str, since: u64) -> Vec<StateName> {
        let of = |event: EventRecord| (event.service.as_deref() == Some(name)).then_some(event.change?.1);
        self.events(since).into_iter().filter_map(of).collect()
    }

    /// Gives an order that is accepted; the number that the next event will have.
    pub(crate) fn order(&self, order: Order) -> u64 {
        match self.ask(&Request::Do(order.clone())) {
            Answer::Accepted { next_event, .. } => next_event,
            other => panic!("{order:?}: {other:?}"),
        }
    }

    /// Gives an order that is accepted; whether anything changes by it.
    pub(crate) fn changes(&self, order: Order) -> bool {
        match self.ask(&Request::Do(order.clone())) {
            Answer::Accepted { changes, .. } => changes,
            other => panic!("{order:?}: {other:?}"),
        }
    }

    /// Gives an order that is refused; why.
    pub(crate) fn refused(&self, order: Order) -> String {
        match self.ask(&Request::Do(order)) {
            Answer::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn start(&self, name: &str) -> u64 {
        self.order(Order::Start(name.to_owned()))
    }

    pub(crate) fn stop(&self, name: &str) -> u64 {
        self.order(Order::Stop { service: name.to_owned(), cascade: false })
    }

    pub(crate) fn restart(&self, name: &str) -> u64 {
        self.order(Order::Restart { service: name.to_owned(), cascade: false })
    }

    /// Waits until a service is in a state.
    pub(crate) fn until(&self, name: &str, state: StateName) -> ServiceView {
        self.until_within(name, state, PATIENCE)
    }

    pub(crate) fn until_within(&self, name: &str, state: StateName, within: Duration) -> ServiceView {
        until(&format!("{name} is {state:?}"), within, || {
            Some(self.service(name)).filter(|service| service.state == state)
        })
    }

    /// Waits until a service is ready as another process than `before`.
    pub(crate) fn until_another(&self, name: &str, before: i32) -> ServiceView {
        until(&format!("{name} is ready as another process than {before}"), PATIENCE, || {
            let service = self.service(name);
            let another = service.pid.is_some_and(|pid| pid != before);
            (another && service.state == StateName::Ready).then_some(service)
        })
    }

    /// What it knows of services and what happened, for people.
    pub(crate) fn knows(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for service in self.services() {
            let ServiceView { name, state, pid, starts, failures, last_end, alarm, .. } = service;
            lines.push(format!("{name}: {state:?}, pid {pid:?}, {starts} starts, {failures} failures, ended {last_end:?}, alarm {alarm:?}"));
        }
        let events = self.events(0);
        for event in events.iter().skip(events.len().saturating_sub(60)) {
            let EventRecord { number, at, service, change, cause } = event;
            let service = service.as_deref().unwrap_or("machine");
            lines.push(format!("{number} at {at} ms {service} {change:?}: {cause}"));
        }
        lines.push(format!("{:?}", self.own()));
        lines.join("\n")
    }
}
