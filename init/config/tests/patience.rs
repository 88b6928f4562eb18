//! Which services of profiles/services are given the time that a start takes, and why.
//!
//! Stopping who only waits mends nothing: it counts as a failure, and what it waited for finds it in a pause. All
//! others have a start timeout, by which a start that hangs is noticed and tried anew.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use machine_config::service::{Class, ServiceSpec, Table, layout};

/// Who has no start timeout, and whose fault a long start is.
const PATIENT: [(&str, &str); 12] = [
    ("clock", "a time server's"),
    ("cluster", "the API's, where etcd has no quorum"),
    ("config", "whoever's who has not brought one yet"),
    ("etcd", "the other members', without whom there is no leader"),
    ("image-seed", "the disk's, which is slow"),
    ("kube-apiserver", "etcd's, which has no quorum"),
    ("pki", "whoever's who has to decide about an etcd member without its data"),
    ("storage", "the disk's, which is not there or is being repaired"),
    ("wait-api", "the API's"),
    ("wait-etcd", "etcd's"),
    ("wait-identity", "whoever's who signs the kubelet's certificate"),
    ("wait-turn", "the controllers'"),
];

fn table() -> Table {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/services");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let specs: Vec<ServiceSpec> =
        files.map(|path| toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()).collect();
    layout(&specs).unwrap()
}

#[test]
fn whoever_waits_for_others_is_not_stopped_for_that_and_nobody_else_takes_for_ever() {
    let reasons = BTreeMap::from(PATIENT);
    for unit in table().units {
        let reason = reasons.get(unit.name.as_str());
        let is_patient = unit.start_timeout.is_none();
        assert_eq!(is_patient, reason.is_some(), "{}: a long start is {reason:?} fault", unit.name);
    }
}

/// A new one is as patient as those there are.
#[test]
fn who_does_nothing_but_wait_may_wait_for_ever() {
    for unit in table().units {
        let only_waits = unit.exec.get(1).is_some_and(|word| word == "probe");
        assert!(!only_waits || unit.start_timeout.is_none(), "{}", unit.name);
    }
}

/// Only failures of its own lead away from an image on which a node's service never gets ready.
#[test]
fn whom_no_pod_runs_without_has_failed_when_it_is_not_ready_in_time() {
    for unit in table().units {
        assert!(unit.class != Class::Node || unit.start_timeout.is_some(), "{}", unit.name);
    }
}
