//! All services of a machine: who may start, who stops when, and whether the machine is up.
//!
//! A service starts once everything it needs has been ready, once since boot. A need that is
//! lost later stops nobody and holds nobody back: dependents cope with it or end, and an agent
//! that crashes never keeps etcd down. On shutdown a service is stopped only when everything
//! that needs it has stopped, so nobody loses what it works with.

use machine_config::ServiceName;
use machine_config::service::{EdgeKind, Start, Table};

use super::state::{Action, Event, Service, Standing};
use crate::monotonic::Monotonic;

/// A service's place in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(usize);

impl Id {
    /// As an index into a list that is parallel to the set.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }

    /// The place `index`.
    #[must_use]
    pub fn from_index(index: usize) -> Self {
        Self(index)
    }
}

#[derive(Debug)]
struct Member {
    name: ServiceName,
    service: Service,
    needs: Vec<Id>,
    start: Start,
    milestone: bool,
}

/// The machine's services.
#[derive(Debug)]
pub struct Services {
    members: Vec<Member>,
    stopping: bool,
    up: bool,
}

/// What is to be done for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// For whom.
    pub service: Id,
    /// What.
    pub action: Action,
}

impl Services {
    /// The services of a table.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let members = table
            .units
            .iter()
            .map(|unit| Member {
                name: unit.name.clone(),
                service: Service::new(unit),
                needs: unit
                    .edges
                    .iter()
                    .filter(|edge| edge.kind != EdgeKind::After)
                    .map(|edge| Id(edge.to.index()))
                    .collect(),
                start: unit.start,
                milestone: unit.milestone,
            })
            .collect();
        Self { members, stopping: false, up: false }
    }

    /// Tells one service of an event; what follows for all of them.
    pub fn handle(&mut self, service: Id, event: Event, now: Monotonic) -> Vec<Step> {
        let mut steps = self.tell(service, event, now);
        steps.extend(self.settle(now));
        steps
    }

    /// Lets time pass; the first call starts what needs nobody.
    pub fn time(&mut self, now: Monotonic) -> Vec<Step> {
        let mut steps = Vec::new();
        for service in self.ids() {
            steps.extend(self.tell(service, Event::Time, now));
        }
        steps.extend(self.settle(now));
        steps
    }

    /// Begins the end: from now on nothing starts, and everything stops in order.
    pub fn stop_all(&mut self, now: Monotonic) -> Vec<Step> {
        self.stopping = true;
        self.settle(now)
    }

    /// When [`Self::time`] is to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        self.members.iter().filter_map(|member| member.service.deadline()).min()
    }

    /// Whether nothing runs any more that could be stopped.
    #[must_use]
    pub fn all_stopped(&self) -> bool {
        self.members.iter().all(|member| member.service.standing() == Standing::Stopped)
    }

    /// Whether all milestones are ready; true once, the first time.
    pub fn comes_up(&mut self) -> bool {
        let ready = |member: &Member| !member.milestone || member.service.standing() == Standing::Ready;
        let first = !self.up && !self.stopping && self.members.iter().all(ready);
        self.up |= first;
        first
    }

    /// Each service's name and what it is doing.
    pub fn standings(&self) -> impl Iterator<Item = (&ServiceName, Standing)> {
        self.members.iter().map(|member| (&member.name, member.service.standing()))
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self, service: Id) -> &str {
        self.members.get(service.0).map_or("?", |member| member.name.as_str())
    }

    fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.members.len()).map(Id)
    }

    fn tell(&mut self, service: Id, event: Event, now: Monotonic) -> Vec<Step> {
        let Some(member) = self.members.get_mut(service.0) else { return Vec::new() };
        member.service.handle(event, now).into_iter().map(|action| Step { service, action }).collect()
    }

    /// Starts, or while stopping stops, whoever's turn has come.
    fn settle(&mut self, now: Monotonic) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let turn: Vec<Id> = self.ids().filter(|id| self.has_turn(*id)).collect();
            if turn.is_empty() {
                return steps;
            }
            let event = if self.stopping { Event::Stop } else { Event::NeedsMet };
            for service in turn {
                steps.extend(self.tell(service, event.clone(), now));
            }
        }
    }

    fn has_turn(&self, id: Id) -> bool {
        let Some(member) = self.members.get(id.0) else { return false };
        let standing = member.service.standing();
        if self.stopping {
            let needed_by_running =
                |other: &Member| other.needs.contains(&id) && other.service.standing() != Standing::Stopped;
            !matches!(standing, Standing::Stopping | Standing::Stopped)
                && !self.members.iter().any(needed_by_running)
        } else {
            let was_ready =
                |need: &Id| self.members.get(need.0).is_some_and(|needed| needed.service.was_ready());
            let in_time = self.up || member.start == Start::WhileBooting;
            standing == Standing::Waiting && in_time && member.needs.iter().all(was_ready)
        }
    }
}

#[cfg(test)]
mod tests {
    use machine_config::service::{ServiceSpec, layout};

    use super::*;
    use crate::service::state::{Ending, Instance};

    fn set(edges: &[(&str, &[&str])]) -> Services {
        let specs: Vec<ServiceSpec> = edges
            .iter()
            .map(|(name, needs)| {
                toml::from_str(&format!(
                    "name = {name:?}\ndescription = \"x\"\nexec = [\"/bin/x\"]\nmilestones = {needs:?}\nready = {{ by = \"notify\" }}"
                ))
                .unwrap()
            })
            .collect();
        Services::new(&layout(&specs).unwrap())
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    fn starts(steps: &[Step]) -> Vec<(usize, Instance)> {
        steps
            .iter()
            .filter_map(|step| match step.action {
                Action::Start(instance) => Some((step.service.0, instance)),
                _ => None,
            })
            .collect()
    }

    fn asked(steps: &[Step]) -> Vec<usize> {
        steps.iter().filter(|step| step.action == Action::AskToStop).map(|step| step.service.0).collect()
    }

    #[test]
    fn a_service_starts_when_the_last_of_its_needs_is_ready() {
        let mut services = set(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]);
        let first = starts(&services.time(at(0)));
        assert_eq!(first.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1]);
        assert!(starts(&services.handle(Id(0), Event::SaidReady(first[0].1), at(1))).is_empty());
        let then = starts(&services.handle(Id(1), Event::SaidReady(first[1].1), at(2)));
        assert_eq!(then[0].0, 2);
        assert!(!services.comes_up());
        services.handle(Id(2), Event::SaidReady(then[0].1), at(3));
        assert!(services.comes_up());
        assert!(!services.comes_up(), "it comes up once");
    }

    #[test]
    fn what_starts_when_the_machine_is_up_starts_neither_earlier_nor_twice() {
        let spec = |name: &str, rest: &str| -> ServiceSpec {
            toml::from_str(&format!(
                "name = {name:?}\ndescription = \"x\"\nexec = [\"/bin/x\"]\nready = {{ by = \"notify\" }}\n{rest}"
            ))
            .unwrap()
        };
        let specs =
            [spec("a", ""), spec("late", "milestones = [\"a\"]\nstart = \"when-up\"\nmilestone = false")];
        let mut services = Services::new(&layout(&specs).unwrap());
        let a = starts(&services.time(at(0)))[0].1;
        assert!(starts(&services.handle(Id(0), Event::SaidReady(a), at(1))).is_empty());
        assert!(services.comes_up());
        assert_eq!(starts(&services.time(at(1)))[0].0, 1);
        assert!(starts(&services.time(at(2))).is_empty());
    }

    #[test]
    fn a_lost_need_neither_stops_nor_delays_its_dependents() {
        let mut services = set(&[("a", &[]), ("b", &["a"])]);
        let a = starts(&services.time(at(0)))[0].1;
        let b = starts(&services.handle(Id(0), Event::SaidReady(a), at(1)))[0].1;
        let steps = services.handle(Id(0), Event::Ended(a, Ending::Signal(9)), at(2));
        assert!(steps.iter().all(|step| step.service == Id(0)));
        services.handle(Id(1), Event::Ended(b, Ending::Signal(9)), at(3));
        services.handle(Id(1), Event::Empty, at(4));
        assert_eq!(starts(&services.time(at(253)))[0].0, 1, "although its need is still down");
    }

    #[test]
    fn a_service_is_stopped_after_everything_that_needs_it() {
        let mut services = set(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let a = starts(&services.time(at(0)))[0].1;
        let b = starts(&services.handle(Id(0), Event::SaidReady(a), at(1)))[0].1;
        let c = starts(&services.handle(Id(1), Event::SaidReady(b), at(2)))[0].1;
        assert_eq!(asked(&services.stop_all(at(10))), [2]);
        services.handle(Id(2), Event::Ended(c, Ending::Status(0)), at(11));
        assert_eq!(asked(&services.handle(Id(2), Event::Empty, at(12))), [1]);
        services.handle(Id(1), Event::Ended(b, Ending::Status(0)), at(13));
        assert_eq!(asked(&services.handle(Id(1), Event::Empty, at(14))), [0]);
        services.handle(Id(0), Event::Ended(a, Ending::Status(0)), at(15));
        services.handle(Id(0), Event::Empty, at(16));
        assert!(services.all_stopped());
    }
}
