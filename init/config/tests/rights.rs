//! What each service of profiles/services may do: as few of them root as can be, and nobody more than is listed.
//!
//! All services are laid out as an image's are, and each is judged by the rules below. The table
//! beside them, profiles/rights.md, is what somebody reads who wants to know; it is made of the
//! same units and compared here, so that a right is never given in passing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, too")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use machine_config::service::{DirectoryMode, ServiceSpec, SystemCalls, Table, Unit, layout};

fn profiles() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles")
}

fn specs() -> BTreeMap<String, ServiceSpec> {
    let files = fs::read_dir(profiles().join("services")).unwrap().map(|entry| entry.unwrap().path());
    let specs = files.map(|path| {
        let spec: ServiceSpec = toml::from_str(&fs::read_to_string(&path).unwrap()).expect("a spec");
        (spec.name.to_string(), spec)
    });
    specs.collect()
}

fn table() -> Table {
    layout(&specs().into_values().collect::<Vec<_>>()).unwrap()
}

fn names(units: &[Unit], is: impl Fn(&Unit) -> bool) -> Vec<&str> {
    let mut names: Vec<&str> = units.iter().filter(|unit| is(unit)).map(|unit| unit.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn whoever_is_root_has_a_reason_and_nobody_else_may_be() {
    let root = ["containerd", "flannel", "image-seed", "kube-proxy", "kubelet", "storage", "wait-identity"];
    assert_eq!(names(&table().units, |unit| unit.user.is_none()), root);
    for (name, spec) in specs() {
        assert_eq!(spec.user.is_none(), spec.root_because.is_some(), "{name}");
    }
}

#[test]
fn every_service_has_a_user_that_no_other_has() {
    let mut users: BTreeMap<u32, String> = BTreeMap::new();
    for unit in table().units {
        if let Some(user) = unit.user {
            let other = users.insert(user, unit.name.to_string());
            assert_eq!(other, None, "{} has the same", unit.name);
        }
    }
}

#[test]
fn everybody_but_who_makes_containers_is_fenced_in() {
    let table = table();
    let units = &table.units;
    assert_eq!(names(units, |unit| unit.sandbox.privileged), ["containerd", "kubelet"]);
    assert!(names(units, |unit| unit.sandbox.new_privileges).is_empty());
    let fenced = |unit: &Unit| !unit.sandbox.privileged;
    assert_eq!(names(units, |unit| fenced(unit) && !unit.sandbox.private_tmp), ["storage"]);
    let calls = |calls| move |unit: &Unit| unit.sandbox.system_calls.contains(&calls);
    assert_eq!(names(units, calls(SystemCalls::Clock)), ["clock"]);
    assert_eq!(names(units, calls(SystemCalls::HostName)), ["host-name"]);
    assert_eq!(names(units, calls(SystemCalls::Mounts)), ["storage"]);
}

/// The table as it is shown.
fn shown() -> String {
    let mut text = "# What each service may do\n\n\
         Checked by `cargo test -p machine-config --test rights`. Unless it is privileged, a service keeps no\n\
         capability but those listed, can gain none, has a /tmp of its own, and a root that nobody can write to;\n\
         system calls that change the machine are refused but for those of what is named, and namespaces always.\n\n\
         | service | user | groups | capabilities | system calls | own directories | root because |\n\
         |---|---|---|---|---|---|---|\n"
        .to_owned();
    let table = table();
    for (name, spec) in specs() {
        let unit = table.units.iter().find(|unit| unit.name == spec.name).unwrap();
        let join = |words: Vec<String>| words.join(", ");
        let word = |value: toml::Value| value.as_str().unwrap_or_default().to_owned();
        let groups = join(unit.groups.iter().map(|group| group.name().to_owned()).collect());
        let capabilities = unit.sandbox.capabilities.iter().map(|held| toml::Value::try_from(held).unwrap());
        let calls = unit.sandbox.system_calls.iter().map(|held| toml::Value::try_from(held).unwrap());
        let (capabilities, calls) = match unit.sandbox.privileged {
            true => ("all".to_owned(), "all".to_owned()),
            false => (join(capabilities.map(word).collect()), join(calls.map(word).collect())),
        };
        let directory = |(path, mode): &(String, DirectoryMode)| match mode {
            DirectoryMode::Private => path.clone(),
            DirectoryMode::Readable => format!("{path} (readable)"),
        };
        let directories = join(unit.directories.iter().map(directory).collect());
        let user = unit.user.map_or_else(|| "root".to_owned(), |user| user.to_string());
        let because = spec.root_because.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "| {name} | {user} | {groups} | {capabilities} | {calls} | {directories} | {because} |"
        );
    }
    text
}

#[test]
fn the_table_says_what_the_services_have() {
    let path = profiles().join("rights.md");
    let there = fs::read_to_string(&path).unwrap_or_default();
    let shown = shown();
    assert!(there == shown, "{} should be:\n{shown}", path.display());
}
