//! One service: its state, and what each event makes of it; its picture is at [`Service`].
//!
//! Pure: events and the time in, actions out. Stop leads from every state to Stopping or
//! Stopped. An event that does not fit the state (a late message of an instance that is gone,
//! say) changes nothing. Dependencies are `set`'s, processes `runner`'s, words `report`'s.

use std::time::Duration;

use machine_config::service::{KillScope, Ready, Unit};

use super::backoff::Backoff;
use crate::monotonic::Monotonic;

/// How long after SIGKILL a process may linger before the kill is repeated, or given up when stopping.
pub const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// Between two readiness probes, when one ended without success.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// One start of one service, so that nothing said by or about an earlier one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance(u64);

/// How a main process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With a status.
    Status(i32),
    /// By a signal.
    Signal(i32),
    /// Its program never ran.
    NotStarted(String),
}

/// What happened to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Everything it needs was ready.
    NeedsMet,
    /// Its main process said `READY=1`.
    SaidReady(Instance),
    /// Its readiness probe ended, with success or without.
    Probed(Instance, Verdict),
    /// Its main process ended and was reaped.
    Ended(Instance, Ending),
    /// Nothing is left in its cgroup.
    Empty,
    /// It is to stop.
    Stop,
    /// A deadline may have passed.
    Time,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is ready.
    Ready,
    /// The probe ended without an answer.
    Unclear,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start its main process.
    Start(Instance),
    /// Start its readiness probe.
    Probe(Instance),
    /// End its probe, if one runs.
    EndProbe,
    /// Send the stop signal to its main process.
    AskToStop,
    /// Kill its main process, and with [`KillScope::Cgroup`] everything in its cgroup.
    Kill,
    /// Kill everything in its cgroup, and say [`Event::Empty`] when that is done.
    Clear,
    /// Tell people.
    Tell(News),
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is being started.
    Starting,
    /// It is ready, so long after its start.
    Ready(Duration),
    /// It ended, so long after its start, and is started again after a pause.
    Ended(Ending, Duration, Duration),
    /// It did not end when asked to, and is killed.
    Killing,
    /// Killed processes of it are still there.
    Lingering,
    /// It stopped as it was asked to.
    Stopped,
    /// It could not be stopped.
    Stuck,
}

/// When a readiness probe runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Probe {
    /// It needs none, or it runs.
    Nothing,
    /// It is started again then.
    At(Monotonic),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting,
    Starting { instance: Instance, since: Monotonic, probe: Probe },
    Ready { instance: Instance, since: Monotonic, ready: Monotonic },
    Done,
    Clearing { again: Monotonic, kill_again: Monotonic },
    Backoff { until: Monotonic },
    Stopping { main: Option<Instance>, ask: Asked },
    Stopped,
    Stuck,
}

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It got its signal and is killed then.
    Politely { kill: Monotonic },
    /// It was killed and is given up then.
    Firmly { give_up: Monotonic },
}

/// What a state means to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for what it needs.
    Waiting,
    /// It is on its way.
    Starting,
    /// It works, or has done its work.
    Ready,
    /// It failed and will be started again.
    Failed,
    /// It is on its way out.
    Stopping,
    /// It is out, or as good as.
    Stopped,
}

/// A service.
///
/// ```text
///            needs were ready        told so              stop signal
///  Waiting ──────────────► Starting ─────────► Ready ───────────────► Stopping ─► Stopped
///     ▲                       │  │ exit 0         │                      │ nothing helps
///     │ pause over            │  └──► Done        │                      ▼
///  Backoff ◄── Clearing ◄─────┴── it ended ───────┘                    Stuck
/// ```
#[derive(Debug, Clone)]
pub struct Service {
    readiness: Ready,
    stop_timeout: Duration,
    scope: KillScope,
    state: State,
    backoff: Backoff,
    starts: u64,
    was_ready: bool,
}

impl Service {
    /// A service that was never started.
    #[must_use]
    pub fn new(unit: &Unit) -> Self {
        Self {
            readiness: unit.ready.clone(),
            stop_timeout: unit.stop_timeout.duration(),
            scope: unit.kill,
            state: State::Waiting,
            backoff: Backoff::default(),
            starts: 0,
            was_ready: false,
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.state {
            State::Waiting => Standing::Waiting,
            State::Starting { .. } => Standing::Starting,
            State::Ready { .. } | State::Done => Standing::Ready,
            State::Clearing { .. } | State::Backoff { .. } => Standing::Failed,
            State::Stopping { .. } => Standing::Stopping,
            State::Stopped | State::Stuck => Standing::Stopped,
        }
    }

    /// Whether it has ever been ready since boot: that is what dependents wait for, once.
    #[must_use]
    pub fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// When it wants [`Event::Time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        match self.state {
            State::Starting { probe: Probe::At(at), .. } => Some(at),
            State::Clearing { kill_again, .. } => Some(kill_again),
            State::Backoff { until } => Some(until),
            State::Stopping { ask: Asked::Politely { kill }, .. } => Some(kill),
            State::Stopping { ask: Asked::Firmly { give_up }, .. } => Some(give_up),
            _ => None,
        }
    }

    /// Takes an event and says what is to be done.
    pub fn handle(&mut self, event: Event, now: Monotonic) -> Vec<Action> {
        match (self.state.clone(), event) {
            (State::Waiting, Event::NeedsMet) => self.start(now),
            (State::Starting { instance, since, .. }, Event::SaidReady(who))
                if who == instance && matches!(self.readiness, Ready::Notify) =>
            {
                self.become_ready(instance, since, now)
            }
            (State::Starting { instance, since, .. }, Event::Probed(who, verdict)) if who == instance => {
                self.probed(instance, since, verdict, now)
            }
            (State::Starting { instance, since, probe: Probe::At(at) }, Event::Time) if at <= now => {
                self.state = State::Starting { instance, since, probe: Probe::Nothing };
                vec![Action::Probe(instance)]
            }
            (State::Starting { instance, since, .. }, Event::Ended(who, Ending::Status(0)))
                if who == instance && matches!(self.readiness, Ready::Exit) =>
            {
                self.be_done(since, now)
            }
            (State::Starting { instance, since, .. }, Event::Ended(who, how)) if who == instance => {
                self.fail(since, Duration::ZERO, how, now)
            }
            (State::Ready { instance, since, ready }, Event::Ended(who, how)) if who == instance => {
                self.fail(since, now.since(ready), how, now)
            }
            (State::Clearing { again, .. }, Event::Empty) => {
                self.state = State::Backoff { until: again };
                self.handle(Event::Time, now)
            }
            (State::Clearing { again, kill_again }, Event::Time) if kill_again <= now => {
                self.state = State::Clearing { again, kill_again: now.after(KILL_PATIENCE) };
                vec![Action::Clear, Action::Tell(News::Lingering)]
            }
            (State::Backoff { until }, Event::Time) if until <= now => {
                self.state = State::Waiting;
                vec![]
            }
            (_, Event::Stop) => self.stop(now),
            (State::Stopping { main: Some(main), ask }, Event::Ended(who, _)) if who == main => {
                self.main_stopped(ask)
            }
            (State::Stopping { main: None, .. }, Event::Empty) => self.stopped(),
            (State::Stopping { main, ask }, Event::Time) => self.stop_late(main, ask, now),
            (State::Stuck, Event::Ended(..) | Event::Empty) => {
                self.state = State::Stopped;
                vec![]
            }
            _ => vec![],
        }
    }

    fn start(&mut self, now: Monotonic) -> Vec<Action> {
        self.starts = self.starts.saturating_add(1);
        let instance = Instance(self.starts);
        self.state = State::Starting { instance, since: now, probe: Probe::Nothing };
        let mut actions = vec![Action::Tell(News::Starting), Action::Start(instance)];
        if matches!(self.readiness, Ready::Probe { .. }) {
            actions.push(Action::Probe(instance));
        }
        actions
    }

    fn probed(
        &mut self,
        instance: Instance,
        since: Monotonic,
        verdict: Verdict,
        now: Monotonic,
    ) -> Vec<Action> {
        match verdict {
            Verdict::Ready => self.become_ready(instance, since, now),
            Verdict::Unclear => {
                self.state = State::Starting { instance, since, probe: Probe::At(now.after(PROBE_PAUSE)) };
                vec![]
            }
        }
    }

    fn become_ready(&mut self, instance: Instance, since: Monotonic, now: Monotonic) -> Vec<Action> {
        self.state = State::Ready { instance, since, ready: now };
        self.was_ready = true;
        vec![Action::EndProbe, Action::Tell(News::Ready(now.since(since)))]
    }

    fn be_done(&mut self, since: Monotonic, now: Monotonic) -> Vec<Action> {
        self.state = State::Done;
        self.was_ready = true;
        let told = Action::Tell(News::Ready(now.since(since)));
        match self.scope {
            // What it may have left running has no master any more; nobody waits for its end.
            KillScope::Cgroup => vec![Action::Clear, told],
            KillScope::Process => vec![told],
        }
    }

    fn fail(&mut self, since: Monotonic, ready_for: Duration, how: Ending, now: Monotonic) -> Vec<Action> {
        let pause = self.backoff.next(ready_for);
        let again = now.after(pause);
        let told = Action::Tell(News::Ended(how, now.since(since), pause));
        match self.scope {
            KillScope::Cgroup => {
                self.state = State::Clearing { again, kill_again: now.after(KILL_PATIENCE) };
                vec![told, Action::EndProbe, Action::Clear]
            }
            KillScope::Process => {
                self.state = State::Backoff { until: again };
                vec![told, Action::EndProbe]
            }
        }
    }

    fn stop(&mut self, now: Monotonic) -> Vec<Action> {
        match self.state {
            State::Starting { instance, .. } | State::Ready { instance, .. } => {
                let kill = now.after(self.stop_timeout);
                self.state = State::Stopping { main: Some(instance), ask: Asked::Politely { kill } };
                vec![Action::EndProbe, Action::AskToStop]
            }
            State::Clearing { .. } => {
                let give_up = now.after(KILL_PATIENCE);
                self.state = State::Stopping { main: None, ask: Asked::Firmly { give_up } };
                vec![Action::Clear]
            }
            State::Waiting | State::Done | State::Backoff { .. } => {
                // Nothing of it runs, so nothing is told.
                self.state = State::Stopped;
                vec![]
            }
            State::Stopping { .. } | State::Stopped | State::Stuck => vec![],
        }
    }

    fn main_stopped(&mut self, ask: Asked) -> Vec<Action> {
        match self.scope {
            KillScope::Cgroup => {
                self.state = State::Stopping { main: None, ask };
                vec![Action::Clear]
            }
            KillScope::Process => self.stopped(),
        }
    }

    fn stopped(&mut self) -> Vec<Action> {
        self.state = State::Stopped;
        vec![Action::Tell(News::Stopped)]
    }

    fn stop_late(&mut self, main: Option<Instance>, ask: Asked, now: Monotonic) -> Vec<Action> {
        match ask {
            Asked::Politely { kill } if kill <= now => {
                let give_up = now.after(KILL_PATIENCE);
                self.state = State::Stopping { main, ask: Asked::Firmly { give_up } };
                vec![Action::Kill, Action::Tell(News::Killing)]
            }
            Asked::Firmly { give_up } if give_up <= now => {
                // In the kernel, where signals don't reach: the rest of the machine goes on without it.
                self.state = State::Stuck;
                vec![Action::Tell(News::Stuck)]
            }
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use machine_config::service::layout;

    use super::*;

    fn service(rest: &str) -> Service {
        let text = format!("name = \"a\"\ndescription = \"x\"\nexec = [\"/bin/x\"]\n{rest}");
        Service::new(&layout(&[toml::from_str(&text).unwrap()]).unwrap().units[0])
    }

    const NOTIFY: &str = "ready = { by = \"notify\" }";
    const PROBE: &str = "ready = { by = \"probe\", ask = [\"tcp\", \"1\"] }";
    const EXIT: &str = "ready = { by = \"exit\" }";

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    fn started(service: &mut Service, when: u64) -> Instance {
        let actions = service.handle(Event::NeedsMet, at(when));
        let Action::Start(instance) = actions[1] else { panic!("{actions:?}") };
        instance
    }

    #[test]
    fn a_service_that_says_it_is_ready_is_ready() {
        let mut service = service(NOTIFY);
        let instance = started(&mut service, 1000);
        let actions = service.handle(Event::SaidReady(instance), at(1830));
        assert_eq!(actions[1], Action::Tell(News::Ready(Duration::from_millis(830))));
        assert_eq!(service.standing(), Standing::Ready);
    }

    #[test]
    fn a_late_word_of_an_earlier_instance_does_not_count() {
        let mut service = service(NOTIFY);
        let first = started(&mut service, 0);
        service.handle(Event::Ended(first, Ending::Status(1)), at(10));
        service.handle(Event::Empty, at(11));
        service.handle(Event::Time, at(260));
        let second = started(&mut service, 260);
        assert!(service.handle(Event::SaidReady(first), at(261)).is_empty());
        assert!(service.handle(Event::Ended(first, Ending::Status(1)), at(261)).is_empty());
        assert_eq!(service.standing(), Standing::Starting);
        assert!(!service.handle(Event::SaidReady(second), at(262)).is_empty());
    }

    #[test]
    fn a_word_of_readiness_counts_only_by_the_declared_way() {
        let mut service = service(PROBE);
        let instance = started(&mut service, 0);
        assert!(service.handle(Event::SaidReady(instance), at(1)).is_empty());
        assert!(!service.handle(Event::Probed(instance, Verdict::Ready), at(2)).is_empty());
    }

    #[test]
    fn a_probe_without_an_answer_is_asked_again() {
        let mut service = service(PROBE);
        let instance = started(&mut service, 0);
        assert!(service.handle(Event::Probed(instance, Verdict::Unclear), at(100)).is_empty());
        assert_eq!(service.deadline(), Some(at(1100)));
        assert!(service.handle(Event::Time, at(1099)).is_empty());
        assert_eq!(service.handle(Event::Time, at(1100)), [Action::Probe(instance)]);
    }

    #[test]
    fn a_task_is_done_when_it_exits_with_0_and_tried_again_otherwise() {
        let mut service = service(EXIT);
        let first = started(&mut service, 0);
        service.handle(Event::Ended(first, Ending::Status(3)), at(10));
        service.handle(Event::Empty, at(11));
        service.handle(Event::Time, at(260));
        let second = started(&mut service, 260);
        service.handle(Event::Ended(second, Ending::Status(0)), at(300));
        assert_eq!(service.standing(), Standing::Ready);
        assert!(service.was_ready());
        assert!(service.handle(Event::NeedsMet, at(301)).is_empty(), "it does not run twice");
    }

    #[test]
    fn a_second_copy_waits_until_the_first_ones_children_are_gone() {
        let mut service = service(NOTIFY);
        let first = started(&mut service, 0);
        let actions = service.handle(Event::Ended(first, Ending::Signal(9)), at(3200));
        let told = News::Ended(Ending::Signal(9), Duration::from_millis(3200), Duration::from_millis(250));
        assert_eq!(actions, [Action::Tell(told), Action::EndProbe, Action::Clear]);
        assert!(service.handle(Event::NeedsMet, at(4000)).is_empty());
        let late = service.handle(Event::Time, at(8200));
        assert_eq!(late, [Action::Clear, Action::Tell(News::Lingering)]);
        service.handle(Event::Empty, at(9000));
        assert_eq!(service.standing(), Standing::Waiting);
    }

    #[test]
    fn children_of_a_service_that_owns_only_its_process_live_on() {
        let mut service = service(&format!("{NOTIFY}\n[stop]\nkill = \"process\""));
        let first = started(&mut service, 0);
        let actions = service.handle(Event::Ended(first, Ending::Signal(9)), at(100));
        assert!(!actions.contains(&Action::Clear));
        service.handle(Event::Time, at(350));
        started(&mut service, 350);
    }

    #[test]
    fn a_stop_is_bounded_by_signal_kill_and_giving_up() {
        let mut service = service(&format!("{NOTIFY}\n[stop]\ntimeout = \"3s\""));
        started(&mut service, 0);
        assert_eq!(service.handle(Event::Stop, at(1000)), [Action::EndProbe, Action::AskToStop]);
        assert!(service.handle(Event::Time, at(3999)).is_empty());
        assert_eq!(service.handle(Event::Time, at(4000)), [Action::Kill, Action::Tell(News::Killing)]);
        assert_eq!(service.handle(Event::Time, at(9000)), [Action::Tell(News::Stuck)]);
        assert_eq!(service.standing(), Standing::Stopped);
    }

    #[test]
    fn a_stop_cancels_a_pending_restart() {
        let mut service = service(NOTIFY);
        let first = started(&mut service, 0);
        service.handle(Event::Ended(first, Ending::Status(1)), at(10));
        service.handle(Event::Empty, at(11));
        service.handle(Event::Stop, at(12));
        assert_eq!(service.deadline(), None);
        assert!(service.handle(Event::Time, at(10_000)).is_empty());
        assert!(service.handle(Event::NeedsMet, at(10_000)).is_empty());
        assert_eq!(service.standing(), Standing::Stopped);
    }
}
