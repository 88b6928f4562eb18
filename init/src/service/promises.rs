//! What the supervisor promises, whatever services do and in whatever order it is heard of.
//!
//! A world of processes with a will of their own runs beside the real decision core: random
//! needs, random events (late and stale ones among them), a clock that only the test moves.

use std::collections::BTreeMap;
use std::time::Duration;

use machine_config::service::{
    Edge, EdgeKind, KillScope, OnLoss, Place, Ready, ServiceSpec, Span, Table, Unit, layout,
};
use proptest::prelude::*;

use super::set::{Id, Services, Step};
use super::state::{Action, Ending, Event, Instance, KILL_PATIENCE, News, Verdict};
use crate::monotonic::Monotonic;

const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Something that happens to the service with this number, modulo how many there are.
#[derive(Debug, Clone)]
enum Happening {
    SaysReady(usize),
    ProbeEnds(usize, bool),
    MainEnds(usize, i32),
    MainKilled(usize),
    LeftoversEnd(usize),
    StaleWord(usize),
    TimePasses(u64),
}

#[derive(Debug, Default)]
struct Processes {
    main: Option<Instance>,
    earlier: Vec<Instance>,
    leftovers: bool,
    clearing: bool,
    was_ready: bool,
}

struct World {
    units: Vec<Unit>,
    services: Services,
    processes: BTreeMap<usize, Processes>,
    now: u64,
    stopping: bool,
    pauses: BTreeMap<usize, Duration>,
}

impl World {
    fn new(needs: &[Vec<usize>], kinds: &[u8]) -> Self {
        let text = "name = \"s\"\ndescription = \"x\"\nexec = [\"/bin/x\"]\nready = { by = \"notify\" }";
        let plain: ServiceSpec = toml::from_str(text).unwrap();
        let plain = layout(&[plain]).unwrap().units.remove(0);
        let units: Vec<Unit> = kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| {
                // Needs point to earlier services only, so there is no cycle.
                let needs = needs.get(at).into_iter().flatten().filter(|_| at > 0);
                let edge = |need: &usize| Edge {
                    to: Place(u16::try_from(need % at.max(1)).unwrap()),
                    kind: EdgeKind::Milestone,
                    on_loss: OnLoss::Keep,
                };
                Unit {
                    name: format!("s{at}").parse().unwrap(),
                    edges: needs.map(edge).collect(),
                    ready: match kind % 3 {
                        0 => Ready::Notify,
                        1 => Ready::Exit,
                        _ => Ready::Probe { ask: vec!["tcp".to_owned()], every: Span::from_secs(5) },
                    },
                    kill: if kind % 2 == 0 { KillScope::Cgroup } else { KillScope::Process },
                    stop_timeout: Span::from_secs(3),
                    ..plain.clone()
                }
            })
            .collect();
        let services = Services::new(&Table { units: units.clone() });
        let processes = (0..units.len()).map(|at| (at, Processes::default())).collect();
        let mut world = Self { units, services, processes, now: 0, stopping: false, pauses: BTreeMap::new() };
        let steps = world.services.time(world.moment());
        world.perform(steps);
        world
    }

    fn moment(&self) -> Monotonic {
        Monotonic::from_millis(self.now)
    }

    fn owns_cgroup(&self, at: usize) -> bool {
        self.units[at].kill == KillScope::Cgroup
    }

    /// Does what the core asks, and checks that it may ask it.
    fn perform(&mut self, steps: Vec<Step>) {
        for Step { service, action } in steps {
            let at = service.index();
            match action {
                Action::Start(instance) => {
                    assert!(!self.stopping, "s{at} started although the machine is stopping");
                    assert!(self.processes[&at].main.is_none(), "s{at} has two main processes");
                    if self.owns_cgroup(at) {
                        assert!(!self.processes[&at].leftovers, "s{at} started beside its leftovers");
                    }
                    for need in self.units[at].edges.iter().map(|edge| edge.to.index()) {
                        assert!(self.processes[&need].was_ready, "s{at} started before s{need} was ready");
                    }
                    let processes = self.processes.get_mut(&at).unwrap();
                    processes.main = Some(instance);
                    processes.leftovers = true;
                }
                Action::Clear => {
                    self.processes.get_mut(&at).unwrap().clearing = true;
                    self.tell_if_empty(at);
                }
                Action::AskToStop => {
                    for (other, unit) in self.units.iter().enumerate() {
                        let needs_it = unit.edges.iter().any(|edge| edge.to.index() == at);
                        assert!(
                            !needs_it || self.processes[&other].main.is_none() || self.gave_up(other),
                            "s{at} was stopped before s{other}, which needs it"
                        );
                    }
                }
                Action::Tell(News::Ready(_)) => self.processes.get_mut(&at).unwrap().was_ready = true,
                Action::Tell(News::Ended(_, _, pause)) => {
                    // Nothing in these runs is ready for a minute, so pauses only ever grow.
                    let before = self.pauses.insert(at, pause).unwrap_or_default();
                    assert!(
                        pause >= before && pause <= super::backoff::LONGEST,
                        "s{at}: {before:?}, {pause:?}"
                    );
                }
                Action::Probe(_) | Action::EndProbe | Action::Kill | Action::Tell(_) => {}
            }
        }
    }

    fn gave_up(&self, at: usize) -> bool {
        let standing = self.services.standings().nth(at).unwrap().1;
        standing == super::state::Standing::Stopped
    }

    fn tell(&mut self, at: usize, event: Event) {
        let steps = self.services.handle(Id::from_index(at), event, self.moment());
        self.perform(steps);
    }

    fn tell_if_empty(&mut self, at: usize) {
        let processes = self.processes.get_mut(&at).unwrap();
        if processes.clearing && processes.main.is_none() && !processes.leftovers {
            processes.clearing = false;
            self.tell(at, Event::Empty);
        }
    }

    fn end(&mut self, at: usize, how: Ending) {
        let processes = self.processes.get_mut(&at).unwrap();
        if let Some(instance) = processes.main.take() {
            processes.earlier.push(instance);
            self.tell(at, Event::Ended(instance, how));
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let count = self.units.len();
        match *happening {
            Happening::SaysReady(at) => {
                if let Some(instance) = self.processes[&(at % count)].main {
                    self.tell(at % count, Event::SaidReady(instance));
                }
            }
            Happening::ProbeEnds(at, ready) => {
                if let Some(instance) = self.processes[&(at % count)].main {
                    let verdict = if ready { Verdict::Ready } else { Verdict::Unclear };
                    self.tell(at % count, Event::Probed(instance, verdict));
                }
            }
            Happening::MainEnds(at, status) => self.end(at % count, Ending::Status(status)),
            Happening::MainKilled(at) => self.end(at % count, Ending::Signal(9)),
            Happening::LeftoversEnd(at) => {
                let at = at % count;
                self.processes.get_mut(&at).unwrap().leftovers = false;
                // The kernel says so whether or not anybody waits for it.
                if self.processes[&at].main.is_none() {
                    self.tell(at, Event::Empty);
                }
            }
            Happening::StaleWord(at) => {
                let at = at % count;
                for instance in self.processes[&at].earlier.clone() {
                    self.tell(at, Event::SaidReady(instance));
                    self.tell(at, Event::Probed(instance, Verdict::Ready));
                    self.tell(at, Event::Ended(instance, Ending::Status(0)));
                }
            }
            Happening::TimePasses(millis) => {
                self.now += millis;
                let steps = self.services.time(self.moment());
                self.perform(steps);
            }
        }
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let at = 0..8_usize;
    prop_oneof![
        at.clone().prop_map(Happening::SaysReady),
        (at.clone(), any::<bool>()).prop_map(|(at, ready)| Happening::ProbeEnds(at, ready)),
        (at.clone(), 0..3_i32).prop_map(|(at, status)| Happening::MainEnds(at, status)),
        at.clone().prop_map(Happening::MainKilled),
        at.clone().prop_map(Happening::LeftoversEnd),
        at.prop_map(Happening::StaleWord),
        (0..3000_u64).prop_map(Happening::TimePasses),
    ]
}

fn world() -> impl Strategy<Value = (Vec<Vec<usize>>, Vec<u8>)> {
    (1..8_usize).prop_flat_map(|count| {
        let needs = prop::collection::vec(prop::collection::vec(0..8_usize, 0..3), count);
        (needs, prop::collection::vec(any::<u8>(), count))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_service_runs_twice_or_before_its_needs_and_pauses_only_grow(
        (needs, kinds) in world(),
        happenings in prop::collection::vec(happening(), 0..120),
    ) {
        let mut world = World::new(&needs, &kinds);
        for happening in &happenings {
            world.happen(happening);
        }
    }

    #[test]
    fn stopping_ends_in_order_and_in_bounded_time_whatever_services_do(
        (needs, kinds) in world(),
        before in prop::collection::vec(happening(), 0..60),
        after in prop::collection::vec(happening(), 0..30),
    ) {
        let mut world = World::new(&needs, &kinds);
        before.iter().for_each(|happening| world.happen(happening));
        world.stopping = true;
        let steps = world.services.stop_all(world.moment());
        world.perform(steps);
        after.iter().for_each(|happening| world.happen(happening));
        // From here nobody does anything any more: only deadlines pass.
        let begun = world.now;
        while let Some(deadline) = world.services.deadline() {
            world.now = world.now.max(u64::try_from(deadline.since(Monotonic::from_millis(0)).as_millis()).unwrap());
            let steps = world.services.time(world.moment());
            world.perform(steps);
        }
        prop_assert!(world.services.all_stopped());
        let bound = (STOP_TIMEOUT + KILL_PATIENCE) * u32::try_from(world.units.len()).unwrap();
        prop_assert!(u128::from(world.now - begun) <= bound.as_millis());
    }

    #[test]
    fn as_long_as_it_may_run_a_failed_service_always_has_a_next_start(
        (needs, kinds) in world(),
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut world = World::new(&needs, &kinds);
        happenings.iter().for_each(|happening| world.happen(happening));
        for at in 0..world.units.len() {
            let (_, standing) = world.services.standings().nth(at).map(|(name, standing)| (name.clone(), standing)).unwrap();
            if standing == super::state::Standing::Failed {
                prop_assert!(world.services.deadline().is_some());
            }
        }
    }
}
