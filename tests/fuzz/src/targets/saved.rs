//! What PID 1 hands to its successor: any bytes, restored on a table, and then anything that may happen.
//!
//! A predecessor that failed may have left anything. It is refused or it is lived with; whoever
//! has taken it over still has a record that replays.

use init::service::core::Services;

use crate::input::Input;
use crate::world::{World, small_table};

/// The most bytes of events: what was restored is what matters here, the table's target has longer lives.
const EVENTS_MAX: usize = 48;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let length = usize::from(input.byte().unwrap_or(0)) << 8 | usize::from(input.byte().unwrap_or(0));
    let saved = input.bytes(length);
    let Ok(services) = Services::restore(small_table(), saved) else { return };
    let mut world = World::of(services);
    world.live(&mut Input::new(input.bytes(EVENTS_MAX)));
    for place in world.services.places() {
        assert!(!world.services.explain(place).is_empty());
    }
    let _ = world.services.events(0, usize::MAX);
    world.succeed();
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let lives: [&[u8]; 4] = [
        &[],
        &[1, 1, 1, 1, 0, 0, 1, 1],
        &[1, 1, 1, 0, 0, 9, 1, 1, 1, 1, 0, 0, 7, 1, 2, 0, 1, 1, 1, 9, 0, 0, 0, 1],
        &[1, 6, 6, 1, 0, 0, 1, 1, 1, 0, 0, 9, 1, 10, 1, 1, 7, 1, 1, 10, 2, 1, 1, 1, 15, 0, 1, 1, 0, 0],
    ];
    let mut seeds = Vec::new();
    for life in lives {
        let mut world = World::new(small_table());
        world.live(&mut Input::new(life));
        let saved = world.services.save().unwrap();
        let length = u16::try_from(saved.len()).unwrap().to_be_bytes();
        seeds.push([&length[..], &saved, &[0, 0, 1, 1, 1, 1]].concat());
    }
    seeds
}
