//! Service specs: TOML text, one or several, to the table that the builder lays out.
//!
//! A spec that parses is written and read again as it was. A table that is laid out has needs before
//! dependents, no chain longer than allowed, every name once, and survives its own encoding.

use machine_config::service::{DEPTH_MAX, ServiceSpec, Table, layout};

use super::table;

/// Between two specs of an input.
const BETWEEN: &str = "\n===\n";

pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut specs: Vec<ServiceSpec> = Vec::new();
    for text in text.split(BETWEEN) {
        let Ok(spec) = toml::from_str::<ServiceSpec>(text) else { continue };
        let again = toml::to_string(&spec).expect("a spec that was read can be written");
        assert_eq!(toml::from_str::<ServiceSpec>(&again).as_ref(), Ok(&spec));
        specs.push(spec);
    }
    if let Ok(table) = layout(&specs) {
        assert_eq!(table.units.len(), specs.len());
        sound(&table);
        assert_eq!(Table::decode(&table.encode().unwrap()), Ok(table));
    }
}

/// What PID 1 relies on, and what the builder sees to.
fn sound(table: &Table) {
    table::sound(table);
    let mut depths: Vec<usize> = Vec::new();
    for unit in &table.units {
        depths.push(unit.edges.iter().map(|edge| depths[edge.to.index()] + 1).max().unwrap_or(0));
        assert!(unit.exec.first().is_some_and(|program| program.starts_with('/')));
    }
    assert!(depths.iter().all(|depth| *depth <= DEPTH_MAX));
}

/// Each of the images' own services, and all of each kind of need together.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = own().into_iter().map(String::into_bytes).collect();
    let ready = "description = \"x\"\nexec = [\"/bin/x\"]\nready = { by = \"notify\" }\n";
    let several = [
        format!("name = \"a\"\n{ready}"),
        format!("name = \"b\"\n{ready}requires = [\"a\"]\n"),
        format!(
            "name = \"c\"\n{ready}milestones = [\"a\"]\nwants = [{{ service = \"b\", within = \"7s\" }}]\n"
        ),
        format!("name = \"d\"\n{ready}after = [{{ service = \"c\", on-loss = \"restart\" }}]\n"),
    ];
    seeds.push(several.join(BETWEEN).into_bytes());
    seeds
}

/// The specs in profiles/services.
pub(super) fn own() -> Vec<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles/services");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}
