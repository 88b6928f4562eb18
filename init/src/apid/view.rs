//! PID 1's words in the API's: the same facts, in the types that people and other machines see.
//!
//! Pure, and total: every state of PID 1 has its word here, so that a new one does not compile without one.

use jiff::{SignedDuration, Timestamp};
use machine_config::service::StopSignal;
use node_api::reply::{Alarm, BootMark, Event, Service, ServiceBoot, Stage, Stamps, State, Usage};
use node_api::request::Signal;

use crate::control::message::{self, Ending, EventRecord, Own, ServiceView, StateName};

/// A service, with what it uses.
#[must_use]
pub fn service(view: ServiceView, usage: Option<Usage>) -> Service {
    Service {
        state: state(view.state),
        stamps: stamps(view.stamps),
        name: view.name,
        description: view.description,
        wanted: view.wanted,
        held: view.held,
        milestone: view.milestone,
        since_ms: view.since,
        pid: view.pid,
        starts: view.starts,
        failures: view.failures,
        could_not_ask: view.could_not_ask,
        last_end: view.last_end,
        status: view.status,
        alarm: view.alarm,
        degrades_node: view.degrades_node,
        usage,
    }
}

/// A state.
#[must_use]
pub fn state(state: StateName) -> State {
    match state {
        StateName::Off => State::Off,
        StateName::Waiting => State::Waiting,
        StateName::Blocked => State::Blocked,
        StateName::Preparing => State::Preparing,
        StateName::Starting => State::Starting,
        StateName::Ready => State::Ready,
        StateName::Degraded => State::Degraded,
        StateName::Reloading => State::Reloading,
        StateName::Backoff => State::Backoff,
        StateName::Stopping => State::Stopping,
        StateName::Killing => State::Killing,
        StateName::Cleaning => State::Cleaning,
        StateName::Stuck => State::Stuck,
        StateName::Failed => State::Failed,
        StateName::Done => State::Done,
    }
}

fn stamps(stamps: message::Stamps) -> Stamps {
    Stamps {
        wanted_ms: stamps.wanted,
        met_ms: stamps.met,
        prepared_ms: stamps.prepared,
        started_ms: stamps.started,
        executed_ms: stamps.executed,
        ready_ms: stamps.ready,
    }
}

/// A signal, the other way round.
#[must_use]
pub fn signal(signal: Signal) -> StopSignal {
    match signal {
        Signal::Term => StopSignal::Term,
        Signal::Int => StopSignal::Int,
        Signal::Hup => StopSignal::Hup,
        Signal::Quit => StopSignal::Quit,
        Signal::Usr1 => StopSignal::Usr1,
        Signal::Usr2 => StopSignal::Usr2,
        Signal::Kill => StopSignal::Kill,
    }
}

/// An event, on a clock by which the machine began at `began`.
#[must_use]
pub fn event(record: EventRecord, began: Timestamp) -> Event {
    let (from, to) = record.change.map(|(from, to)| (state(from), state(to))).unzip();
    Event {
        number: record.number,
        at_ms: record.at,
        time: moment(began, record.at),
        service: record.service,
        from,
        to,
        cause: record.cause,
    }
}

/// A moment since boot on the machine's clock.
#[must_use]
pub fn moment(began: Timestamp, at_ms: u64) -> String {
    let since = SignedDuration::from_millis(i64::try_from(at_ms).unwrap_or(i64::MAX));
    began.checked_add(since).unwrap_or(Timestamp::MAX).to_string()
}

/// How far a machine is.
#[must_use]
pub fn stage(own: &Own) -> Stage {
    match (own.ending, own.up) {
        (Some(Ending::Reboot), _) => Stage::Rebooting,
        (Some(Ending::PowerOff), _) => Stage::ShuttingDown,
        (None, Some(_)) => Stage::Up,
        (None, None) => Stage::Booting,
    }
}

/// What a person should look at: first of all those for whom the node does not do its work.
#[must_use]
pub fn alarms(services: &[ServiceView]) -> Vec<Alarm> {
    let alarm = |view: &ServiceView| Some(Alarm { service: view.name.clone(), text: view.alarm.clone()? });
    let (grave, others): (Vec<_>, Vec<_>) = services.iter().partition(|view| view.degrades_node);
    grave.into_iter().chain(others).filter_map(alarm).collect()
}

/// For whom the node does not do its work.
#[must_use]
pub fn degraded_by(services: &[ServiceView]) -> Vec<String> {
    services.iter().filter(|view| view.degrades_node).map(|view| view.name.clone()).collect()
}

/// The machine's own marks: PID 1's begin, what the machine's own agents reached, and the end of the boot.
#[must_use]
pub fn marks(own: &Own, services: &[ServiceView]) -> Vec<BootMark> {
    let agent = |name: &str, mark: &str| {
        let view = services.iter().find(|view| view.name == name)?;
        Some(BootMark { name: mark.to_owned(), at_ms: view.stamps.ready? })
    };
    let mut marks = vec![BootMark { name: "pid1".to_owned(), at_ms: own.began }];
    marks.extend(
        [
            ("storage", "storage"),
            ("config", "config"),
            ("network", "network"),
            ("clock", "clock"),
            ("pki", "certificates"),
        ]
        .into_iter()
        .filter_map(|(name, mark)| agent(name, mark)),
    );
    marks.extend(own.up.map(|at_ms| BootMark { name: "up".to_owned(), at_ms }));
    marks.sort_by_key(|mark| mark.at_ms);
    marks
}

/// A service on the time line; none that was never wanted.
#[must_use]
pub fn service_boot(view: &ServiceView) -> Option<ServiceBoot> {
    view.stamps.wanted?;
    Some(ServiceBoot {
        name: view.name.clone(),
        milestone: view.milestone,
        state: state(view.state),
        stamps: stamps(view.stamps),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_machine_is_told_before_that_it_is_up() {
        let up = Own { up: Some(7), ..Own::default() };
        assert_eq!(stage(&Own::default()), Stage::Booting);
        assert_eq!(stage(&up), Stage::Up);
        assert_eq!(stage(&Own { ending: Some(Ending::Reboot), ..up.clone() }), Stage::Rebooting);
        assert_eq!(stage(&Own { ending: Some(Ending::PowerOff), ..up }), Stage::ShuttingDown);
    }

    #[test]
    fn for_whom_the_node_does_not_do_its_work_is_the_first_alarm() {
        let view = |name: &str, degrades_node| ServiceView {
            name: name.to_owned(),
            description: String::new(),
            wanted: true,
            state: StateName::Ready,
            since: 0,
            pid: None,
            starts: 1,
            failures: 0,
            held: false,
            last_end: None,
            status: None,
            stamps: message::Stamps::default(),
            alarm: Some("look".to_owned()),
            degrades_node,
            milestone: true,
            could_not_ask: 0,
        };
        let views = [view("etcd", false), view("kubelet", true)];
        let names: Vec<String> = alarms(&views).into_iter().map(|alarm| alarm.service).collect();
        assert_eq!(names, ["kubelet", "etcd"]);
        assert_eq!(degraded_by(&views), ["kubelet"]);
    }

    #[test]
    fn an_event_is_dated_by_the_machines_clock() {
        let record = EventRecord {
            number: 3,
            at: 1500,
            service: Some("etcd".to_owned()),
            change: Some((StateName::Starting, StateName::Ready)),
            cause: "its probe says yes".to_owned(),
        };
        let event = event(record, "2026-11-21T12:00:00Z".parse().unwrap());
        assert_eq!(event.time, "2026-11-21T12:00:01.5Z");
        assert_eq!((event.from, event.to), (Some(State::Starting), Some(State::Ready)));
    }
}
