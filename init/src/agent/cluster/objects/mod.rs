//! The objects of day one, from the machine config.
//!
//! Each is applied whole by server-side apply under our own field manager: what others add
//! to them stays, what they change in our fields is put right. Order matters once: what
//! lets nodes in comes first, because they wait for it, and DNS last.

mod dns;
mod rights;
mod token;

use std::net::Ipv4Addr;

use jiff::Timestamp;
use machine_config::MachineConfig;
use machine_config::machine::ControlPlaneConfig;
use serde_json::Value;

/// One object, and where the API keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    /// The path of the object itself.
    pub path: String,
    /// All of it.
    pub body: Value,
}

/// Everything that must exist at `now`. `resolvers` answer what is not of the cluster.
pub(super) fn all(
    config: &MachineConfig,
    plane: &ControlPlaneConfig,
    resolvers: &[Ipv4Addr],
    now: Timestamp,
) -> Vec<Object> {
    let mut objects = rights::of_new_nodes();
    objects.extend(token::object(&plane.bootstrap_token, now));
    objects.extend(rights::of_everybody_else());
    objects.extend(dns::objects(config, resolvers));
    objects
}

/// Puts an object under the collection that holds it, such as `/api/v1/nodes`.
fn object(collection: &str, body: Value) -> Object {
    let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    Object { path: format!("{collection}/{name}"), body }
}

#[cfg(test)]
mod tests {
    use machine_config::Role;
    use machine_config::machine::RoleConfig;

    use super::*;
    use crate::agent::fixture::{config, made};

    pub(super) fn objects() -> Vec<Object> {
        let config = config(Role::ControlPlane);
        let RoleConfig::ControlPlane(plane) = &config.role else { panic!() };
        all(&config, plane, &[[10, 77, 0, 1].into()], made())
    }

    #[test]
    fn every_object_is_whole_and_lies_where_its_kind_belongs() {
        for Object { path, body } in objects() {
            for field in ["/apiVersion", "/kind", "/metadata/name"] {
                assert!(
                    body.pointer(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty()),
                    "{path} {field}"
                );
            }
            let version = body["apiVersion"].as_str().unwrap();
            let root = if version == "v1" { "/api/v1/".to_owned() } else { format!("/apis/{version}/") };
            assert!(path.starts_with(&root), "{path}: {version}");
            let namespace = body.pointer("/metadata/namespace").and_then(Value::as_str);
            assert_eq!(namespace.is_some(), path.contains("/namespaces/"), "{path}");
            let kind = body["kind"].as_str().unwrap().to_lowercase();
            assert!(path.contains(&format!("/{kind}s/")), "{path}: {kind}");
            assert!(path.ends_with(body.pointer("/metadata/name").unwrap().as_str().unwrap()));
        }
    }

    #[test]
    fn no_object_is_there_twice() {
        let mut paths: Vec<String> = objects().into_iter().map(|object| object.path).collect();
        let all = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), all);
    }

    #[test]
    fn a_node_that_may_ask_finds_its_rights_in_place() {
        let objects = objects();
        let at = |needle: &str| objects.iter().position(|object| object.path.contains(needle)).unwrap();
        assert!(
            at("node-bootstrapper") < at("bootstrap-token-"),
            "rights come before the token that uses them"
        );
    }
}
