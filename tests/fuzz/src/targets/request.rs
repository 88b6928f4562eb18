//! What comes with a request to the node API: path, query, body, and the role in a certificate.
//!
//! A path that is found is the path of that verb for that service, and the service's name is one. What is
//! decoded is encoded and decoded again as it was.

use std::fmt::Debug;

use node_api::request::{EndRequest, EventQuery, Failure, LogQuery, Signal, SignalRequest, StopRequest};
use node_api::verb::{Found, Method, SERVICE, TABLE, find, is_service_name};
use node_api::{PREFIX, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::input::Input;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let kind = input.below(7);
    let bytes = input.rest();
    let text = std::str::from_utf8(bytes).ok();
    match (kind, text) {
        (0, Some(text)) => path(text),
        (1, Some(text)) => role(text),
        (2, Some(text)) => query::<LogQuery>(text),
        (3, Some(text)) => query::<EventQuery>(text),
        (4, _) => body::<StopRequest>(bytes),
        (5, _) => body::<SignalRequest>(bytes),
        (6, _) => body::<EndRequest>(bytes),
        _ => {}
    }
}

/// A method and a path, as in the first line of a request.
fn path(text: &str) {
    let Some((method, path)) = text.split_once(' ') else { return };
    match find(method, path) {
        Found::Verb(verb, service) => {
            let route = verb.route();
            assert_eq!(route.path_for(service), path);
            assert_eq!(route.method.as_str(), method);
            assert_eq!(is_service_name(service), route.path.contains(SERVICE));
        }
        Found::OtherMethod(other) => assert_ne!(other.as_str(), method),
        Found::Nothing => {
            assert!(!TABLE.iter().any(|route| route.path == path && !path.contains(SERVICE)));
        }
    }
}

/// A certificate's organizations, one per line.
fn role(text: &str) {
    let found = Role::of_organizations(text.lines());
    let roles = text.lines().filter(|line| Role::ALL.iter().any(|role| role.organization() == *line));
    let roles: Vec<&str> = roles.collect();
    match (&roles[..], found) {
        ([one], Some(role)) => assert_eq!(role.organization(), *one),
        (_, found) => assert_eq!(found, None),
    }
}

fn query<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) {
    let Ok(query) = serde_urlencoded::from_str::<T>(text) else { return };
    let again = serde_urlencoded::to_string(&query).unwrap();
    assert_eq!(serde_urlencoded::from_str::<T>(&again).as_ref(), Ok(&query));
}

fn body<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<T>(bytes) else { return };
    let again = serde_json::to_vec(&body).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&again).unwrap(), body);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut add = |kind: u8, text: &str| seeds.push([&[kind], text.as_bytes()].concat());
    for route in TABLE {
        add(0, &format!("{} {}", route.method.as_str(), route.path_for("kubelet")));
    }
    add(0, &format!("{} {PREFIX}/reboot", Method::Get.as_str()));
    for role in Role::ALL {
        add(1, &format!("x\n{}\nslipway:nobody", role.organization()));
    }
    let log = LogQuery {
        service: Some("etcd".to_owned()),
        since: Some("2026-11-21T12:00:00Z".to_owned()),
        boot: Some("current".to_owned()),
        grep: Some("a b&ä".to_owned()),
        failure: Some(Failure::First),
        tail: Some(9),
        follow: true,
    };
    add(2, &serde_urlencoded::to_string(log).unwrap());
    let events = EventQuery { since: Some(4), service: Some("etcd".to_owned()), follow: true };
    add(3, &serde_urlencoded::to_string(events).unwrap());
    add(4, &serde_json::to_string(&StopRequest { cascade: true }).unwrap());
    add(5, &serde_json::to_string(&SignalRequest { signal: Signal::Hup }).unwrap());
    add(
        6,
        &serde_json::to_string(&EndRequest { reason: Some("new\nkernel".to_owned()), now: true }).unwrap(),
    );
    seeds
}
