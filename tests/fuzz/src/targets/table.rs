//! The table of services and PID 1's core on it: a table from any bytes, then anything that may happen.
//!
//! A table that decodes is one that PID 1 can live with: needs before dependents, names once, and
//! nothing behind it. The events after it are told to the core by a shell that keeps no contract; see `world`.

use machine_config::service::{ServiceSpec, Table, layout};

use super::spec;
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
    let table = match Table::decode(bytes) {
        Ok(table) => {
            let again = table.encode().unwrap();
            assert!(again.len() <= bytes.len(), "what was read is not what is there");
            assert_eq!(Table::decode(&again).as_ref(), Ok(&table));
            sound(&table);
            table
        }
        // Most changes of the events spare the table, some changes of the table spare nothing.
        Err(_) => small_table(),
    };
    let events = if table.units.len() > UNITS_MAX { &[] } else { input.bytes(EVENTS_MAX) };
    let mut world = World::new(table);
    world.live(&mut Input::new(events));
    world.check();
}

/// What PID 1 relies on, whoever wrote the table.
fn sound(table: &Table) {
    for (at, unit) in table.units.iter().enumerate() {
        assert_eq!(table.place(unit.name.as_str()).map(|place| place.index()), Some(at), "a name twice");
        assert!(unit.edges.iter().all(|edge| edge.to.index() < at), "a need after its dependent");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let own = |text: &String| toml::from_str::<ServiceSpec>(text).ok();
    let specs: Vec<ServiceSpec> = spec::own().iter().filter_map(own).collect();
    let mut tables = vec![Table::default(), small_table()];
    tables.extend(layout(&specs));
    tables.extend(specs.iter().filter_map(|spec| layout(std::slice::from_ref(spec)).ok()));
    let mut seeds = Vec::new();
    for table in tables {
        let bytes = table.encode().unwrap();
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        // Everything is done well and in order, over and over, with time passing.
        let events = [[1, 1, 1, 0, 0, 9, 1, 0]; 12].concat();
        seeds.push([&length[..], &bytes, &events].concat());
    }
    seeds
}
