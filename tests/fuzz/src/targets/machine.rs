//! PID 1's core on a table from any bytes, and then anything that may happen.
//!
//! What must hold of a table that decodes is `table`'s; here PID 1 lives with it. The events are told to the core by
//! a shell that keeps no contract; see `world`. It takes a hundred times as long as reading the table.

use machine_config::service::Table;

use super::table;
use crate::input::Input;
use crate::world::{World, small_table};

/// Services of a table that events are told to; more of them only take longer.
const UNITS_MAX: usize = 8;
/// The most bytes of events.
const EVENTS_MAX: usize = 120;

pub(super) fn run(input: &[u8]) {
    // Where the table ends: its length comes first, the events are behind it.
    let mut input = Input::new(input);
    let length = usize::from(input.byte().unwrap_or(0)) << 8 | usize::from(input.byte().unwrap_or(0));
    let bytes = input.bytes(length);
    // Most changes of the events spare the table, some changes of the table spare nothing.
    let table = Table::decode(bytes).unwrap_or_else(|_| small_table());
    let events = if table.units.len() > UNITS_MAX { &[] } else { input.bytes(EVENTS_MAX) };
    let mut world = World::new(table);
    world.live(&mut Input::new(events));
    world.check();
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for bytes in table::seeds() {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        // Everything is done well and in order, over and over, with time passing.
        let events = [[1, 1, 1, 0, 0, 9, 1, 0]; 12].concat();
        seeds.push([&length[..], &bytes, &events].concat());
    }
    seeds
}
