//! The model's runs: many random cases each, with their number printed.
//!
//! Cases are small numbers all the way down (see `happening`), so a failure shrinks to the few
//! services and events that matter. The same cases every time, so that a red run is red again;
//! `MODEL_CASES=100000` runs so many others, new ones each time.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::invariants as must;
use super::tables::{Digits, random};
use super::world::World;
use crate::control::message::Ending as MachineEnding;
use crate::service::core::state::{AFTER_WITHIN, KILL_WITHIN, SWEEP_WITHIN};

type Seeds = Vec<(u64, u64)>;

fn case() -> impl Strategy<Value = (Seeds, Vec<u64>)> {
    let seeds = prop::collection::vec((0..u64::from(u32::MAX) * 64, 0..u64::from(u32::MAX)), 1..=12);
    (seeds, prop::collection::vec(0..(32 * 12 * 64_u64), 0..80))
}

/// Runs `check` on so many worlds in which things have happened.
fn run(name: &str, cases: u32, check: impl Fn(&mut World)) {
    let (told, performed, ran) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let config = |cases| Config { cases, failure_persistence: None, ..Config::default() };
    let more = std::env::var("MODEL_CASES").ok().and_then(|cases| cases.parse().ok());
    let mut runner = match more {
        Some(cases) => TestRunner::new(config(cases)),
        None => TestRunner::new_with_rng(config(cases), TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&case(), |(seeds, happenings)| {
        let mut world = World::begun(random(&seeds));
        for happening in happenings {
            world.happen(happening);
        }
        must::now_and_then(&world);
        check(&mut world);
        ran.set(ran.get() + 1);
        told.set(told.get() + world.told);
        performed.set(performed.get() + world.performed);
        Ok(())
    });
    println!("{name}: {} cases, {} events, {} actions", ran.get(), told.get(), performed.get());
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn the_invariants_hold_whatever_happens_in_whatever_order() {
    run("invariants", 2000, |_| {});
}

#[test]
fn the_end_comes_in_order_and_in_bounded_time_whatever_services_do() {
    run("shutdown", 1000, |world| {
        world.ended = true;
        world.telling = None;
        let steps = world.services.announce_end(MachineEnding::Reboot, "test", world.moment());
        world.perform(steps);
        world.pass(300);
        let steps = world.services.shut_down(MachineEnding::Reboot, "test", world.moment());
        world.perform(steps);
        let longest: u128 = world
            .units
            .iter()
            .map(|unit| {
                (unit.stop_timeout.duration() + KILL_WITHIN + AFTER_WITHIN + SWEEP_WITHIN).as_millis()
            })
            .sum();
        // Some still do what they were about to, which must not start anything.
        for _ in 0..4 {
            for place in world.services.places() {
                world.is_well(place);
            }
            world.pass(500);
        }
        world.pass(u64::try_from(longest).unwrap());
        assert!(world.services.all_stopped(), "6: {:?}", world.states());
        must::now_and_then(world);
        let steps = world.services.shut_down_rest(MachineEnding::Reboot, world.moment());
        world.perform(steps);
        world.pass(u64::try_from(longest).unwrap());
        assert!(world.services.all_stopped(), "6: {:?}", world.states());
        must::now_and_then(world);
    });
}

#[test]
fn a_machine_that_is_left_alone_recovers_from_whatever_happened() {
    run("recovery", 1000, |world| {
        world.faults = Digits(0);
        for actor in &mut world.actors {
            actor.unkillable = false;
        }
        for _ in 0..400 {
            for place in world.services.places() {
                world.is_well(place);
                if !world.actors[place.index()].unkillable
                    && world.services.state(place) == Some(crate::control::message::StateName::Stuck)
                {
                    // The kernel let go of it after all.
                    world.actor(place).children = false;
                    world.end_of_main(place, &crate::service::core::Ending::Signal(9));
                    let events = world.end_reload(place, &crate::service::core::Ending::Signal(9), true);
                    world.tell_all(events);
                    world.empty(place);
                }
            }
            for question in world.questions.keys().copied().collect::<Vec<_>>() {
                let events = world.answer(question, crate::control::message::Finding::Good);
                world.tell_all(events);
            }
            world.pass(2000);
            if world.services.places().all(|place| must::has_arrived(world, place)) {
                return must::now_and_then(world);
            }
        }
        let stuck = world.services.places().find(|place| !must::has_arrived(world, *place));
        if let Some(place) = stuck {
            let (why, member) = (world.services.explain(place), world.services.member(place));
            panic!("21: nothing moves any more: {why:?} {member:?} {:?}", world.unit(place));
        }
    });
}
