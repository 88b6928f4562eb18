//! The service specs of the repository, read as the builder and PID 1 read them.
//!
//! What a role runs is in profiles/roles and checked by the builder; here every file must
//! parse, be named after itself, and ask questions that `init probe` understands.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers are tests too")]

use std::fs;
use std::path::PathBuf;

use init::probe::Question;
use machine_config::service::{ReadySpec, ServiceSpec, layout};

fn specs() -> Vec<(String, ServiceSpec)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../profiles/services");
    let mut specs = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let spec = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        specs.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), spec));
    }
    specs
}

#[test]
fn every_service_is_named_after_its_file() {
    for (stem, spec) in specs() {
        assert_eq!(spec.name.as_str(), stem);
    }
}

#[test]
fn all_services_together_can_be_put_in_order() {
    let specs: Vec<ServiceSpec> = specs().into_iter().map(|(_, spec)| spec).collect();
    assert!(specs.len() > 15, "only {} services found", specs.len());
    layout(&specs).unwrap();
}

#[test]
fn every_probe_asks_a_question_that_init_understands() {
    let mut asked = 0;
    for (name, spec) in specs() {
        let ReadySpec::Probe { ask, .. } = spec.ready else { continue };
        Question::parse(&ask).unwrap_or_else(|error| panic!("{name}: {error}"));
        asked += 1;
    }
    assert!(asked > 5, "only {asked} probes found");
}

#[test]
fn no_service_needs_a_certificate_before_the_clock_is_right() {
    let specs: Vec<ServiceSpec> = specs().into_iter().map(|(_, spec)| spec).collect();
    let table = layout(&specs).unwrap();
    let place = |name: &str| table.place(name).unwrap();
    for (before, after) in
        [("config", "network"), ("network", "clock"), ("clock", "pki"), ("pki", "etcd"), ("pki", "kubelet")]
    {
        assert!(place(before) < place(after), "{before} comes before {after}");
    }
}
