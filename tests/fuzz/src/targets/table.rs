//! The table of services: any bytes, as PID 1 finds them in the image.
//!
//! A table that decodes is one that PID 1 can live with: needs before dependents, names once, and nothing behind it;
//! and it begins with it. What then happens is `machine`'s.

use init::monotonic::Monotonic;
use init::service::core::{Event, History, Services};
use machine_config::service::{ServiceSpec, Table, layout};

use super::spec;
use crate::world::small_table;

pub(super) fn run(input: &[u8]) {
    let Ok(table) = Table::decode(input) else { return };
    let again = table.encode().unwrap();
    assert!(again.len() <= input.len(), "what was read is not what is there");
    assert_eq!(Table::decode(&again).as_ref(), Ok(&table));
    sound(&table);
    let units = table.units.len();
    let start = Monotonic::from_millis(0);
    let mut services = Services::new(table, 11, History { confirmed: false, reboots: 0 }, start);
    let _ = services.handle(Event::Time, start);
    assert_eq!(services.places().count(), units);
}

/// What PID 1 relies on, whoever wrote the table.
pub(super) fn sound(table: &Table) {
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
    tables.iter().map(|table| table.encode().unwrap()).collect()
}
