//! S33 to S35 and S37: the machine's end as far as services go, and a successor of PID 1.
//!
//! The phases around it are `plan`'s (S34), the rest is `shutdown`'s.

use machine_config::service::{ServiceSpec, Table, layout};

use super::*;
use crate::control::message::Ending as MachineEnding;
use crate::service::core::model::invariants as must;
use crate::service::core::{Record, RestoreError, Services};

impl World {
    fn shut_down(&mut self) {
        self.ended = true;
        let steps = self.services.shut_down(MachineEnding::Reboot, "test", self.moment());
        self.perform(steps);
    }
}

/// S33
#[test]
fn of_a_hundred_services_one_cannot_be_stopped_and_the_rest_stop_in_order() {
    let specs: Vec<(String, String)> = (0..100)
        .map(|n| {
            let needs =
                if n % 10 == 0 { String::new() } else { format!("milestones = [\"s{:02}\"]\n", n - 1) };
            (format!("s{n:02}"), format!("{needs}[stop]\ntimeout = \"3s\""))
        })
        .collect();
    let named: Vec<(&str, &str)> = specs.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut world = world(&named);
    for _ in 0..10 {
        world.all_ready();
    }
    assert!(world.states().iter().all(|state| *state == StateName::Ready));
    let bad = world.place("s55");
    world.actor(bad).unkillable = true;
    let begun = world.now;
    world.shut_down();
    for _ in 0..60 {
        for place in world.services.places().filter(|place| *place != bad) {
            if world.services.state(place) == Some(StateName::Stopping) {
                world.end_of_main(place, &Ending::Status(0));
            }
        }
        world.pass(1000);
    }
    assert!(world.services.all_stopped());
    assert_eq!(world.state("s55"), StateName::Stuck);
    assert_eq!(world.states().iter().filter(|state| **state == StateName::Off).count(), 99);
    assert!(world.now - begun <= millis(Duration::from_secs(60)));
}

/// What the machine's end needs works until everybody else has gone, and is not started again.
#[test]
fn who_works_until_the_end_is_stopped_last_and_never_started_again() {
    let mut world = world(&[
        ("a", ""),
        ("logd", "until-end = true"),
        ("probed", "until-end = true\nmilestones = [\"a\"]"),
    ]);
    for name in ["a", "logd", "probed"] {
        world.is_ready(name);
    }
    world.ended = true;
    let steps = world.services.announce_end(MachineEnding::Reboot, "test", world.moment());
    world.perform(steps);
    assert_eq!(world.states(), [StateName::Ready; 3], "it is only announced");
    assert_eq!(world.start("a"), Err(Refusal::Ending));
    world.shut_down();
    assert_eq!(world.states(), [StateName::Stopping, StateName::Ready, StateName::Ready]);
    world.exits("a", 0);
    world.exits("probed", 1);
    world.pass(60_000);
    assert_eq!(world.states(), [StateName::Off, StateName::Ready, StateName::Off]);
    assert!(world.services.all_stopped(), "all whose time has come");
    let steps = world.services.shut_down_rest(MachineEnding::Reboot, world.moment());
    world.perform(steps);
    assert_eq!(world.state("logd"), StateName::Stopping);
    assert!(!world.services.all_stopped());
}

/// A task that is done in between does not break the chain.
#[test]
fn who_needs_a_service_only_through_a_task_that_is_done_still_goes_before_it() {
    let task = format!("{TASK}milestones = [\"base\"]");
    let mut world = world(&[("base", ""), ("task", &task), ("top", "milestones = [\"task\"]")]);
    for name in ["base", "task", "top"] {
        world.is_ready(name);
    }
    assert_eq!(world.state("task"), StateName::Done);
    world.shut_down();
    assert_eq!((world.state("base"), world.state("top")), (StateName::Ready, StateName::Stopping));
    assert!(
        world.explained("base").starts_with("base: is to be stopped: the machine ends, and waits for top")
    );
    world.exits("top", 0);
    assert_eq!(world.state("base"), StateName::Stopping);
}

/// Of every role's services at once: whoever starts later stops earlier, by whatever ways it needs the other.
#[test]
fn the_services_of_the_images_stop_in_the_reverse_of_the_order_in_which_they_start() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/services");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let specs: Vec<ServiceSpec> =
        files.map(|path| toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()).collect();
    let mut world = World::begun(layout(&specs).unwrap());
    for _ in 0..20 {
        world.all_ready();
    }
    assert!(world.states().iter().all(|state| matches!(state, StateName::Ready | StateName::Done)));
    let next = world.next();
    world.shut_down();
    for _ in 0..20 {
        for place in world.services.places() {
            if world.services.state(place) == Some(StateName::Stopping) {
                world.end_of_main(place, &Ending::Status(0));
            }
        }
    }
    assert!(world.services.all_stopped());
    let when = |name: &str, state| {
        let mut records = world.services.journal().since(next);
        let place = Some(world.place(name));
        let to = |record: &Record| record.service == place && record.change.map(|(_, to)| to) == Some(state);
        records.find(|(_, record)| to(record)).map(|(number, _)| number).unwrap()
    };
    for need in ["pki", "clock", "network", "config"] {
        for dependent in ["containerd", "kubelet", "kube-apiserver", "kube-proxy", "etcd", "haproxy"] {
            let (gone, asked) = (when(dependent, StateName::Off), when(need, StateName::Stopping));
            assert!(gone < asked, "{dependent} goes before {need}");
        }
    }
}

/// S34: the plan keeps the kind as well.
#[test]
fn a_second_request_to_end_keeps_the_first_ones_kind() {
    let mut world = world(&[("a", "")]);
    world.shut_down();
    let next = world.next();
    let steps = world.services.shut_down(MachineEnding::PowerOff, "again", world.moment());
    assert!(steps.is_empty());
    assert_eq!((world.services.ending(), world.next()), (Some(MachineEnding::Reboot), next));
    assert_eq!(world.start("a"), Err(Refusal::Ending));
}

/// S35
#[test]
fn an_end_while_services_start_restart_and_prepare_starts_nothing_more() {
    let step = "before-start = [[\"/bin/step\"]]";
    let mut world =
        world(&[("starting", ""), ("step", step), ("pausing", ""), ("waiting", "requires = [\"starting\"]")]);
    world.exits("pausing", 1);
    assert_eq!(
        ["starting", "step", "pausing", "waiting"].map(|name| world.state(name)),
        [StateName::Starting, StateName::Preparing, StateName::Backoff, StateName::Waiting]
    );
    world.shut_down();
    world.exits("starting", 0);
    world.pass(60_000);
    assert_eq!(world.states(), [StateName::Off; 4]);
}

/// The end goes over holds.
#[test]
fn a_held_service_is_stopped_when_the_machine_ends() {
    let mut world = world(&[("a", "")]);
    world.is_ready("a");
    world.ordered(Order::Hold("a".to_owned())).unwrap();
    world.shut_down();
    assert_eq!(world.state("a"), StateName::Stopping);
}

/// S37: what the core has to do with it.
#[test]
fn a_successor_knows_instances_pauses_and_deadlines_and_starts_nothing() {
    let mut world = world(&[("ready", ""), ("pausing", ""), ("stopping", ""), ("starting", "")]);
    world.is_ready("ready");
    world.is_ready("stopping");
    world.exits("pausing", 1);
    world.stop("stopping").unwrap();
    let (states, deadline) = (world.states(), world.services.deadline());
    for place in world.services.places() {
        let belief = world.services.belief(place).unwrap();
        assert_eq!(belief.main, world.actors[place.index()].main.is_some());
    }
    must::invariant_19_a_successor_goes_on_where_it_was(&mut world);
    assert_eq!((world.states(), world.services.deadline()), (states, deadline));
    world.exits("stopping", 0);
    world.pass(300);
    assert_eq!((world.state("stopping"), world.state("pausing")), (StateName::Off, StateName::Starting));
}

/// S37: of another image.
#[test]
fn bytes_of_other_services_or_versions_are_refused() {
    let world = world(&[("a", "")]);
    let bytes = world.services.save().unwrap();
    let other = table(&[("b", "")]);
    assert_eq!(Services::restore(other, &bytes).err(), Some(RestoreError::OtherTable));
    assert!(matches!(Services::restore(Table::default(), &[9, 9]).err(), Some(RestoreError::Version(9))));
    assert!(matches!(
        Services::restore(Table::default(), &bytes[..1]).err(),
        Some(RestoreError::Encoding(_))
    ));
}
