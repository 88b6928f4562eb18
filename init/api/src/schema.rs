//! The OpenAPI 3.1 document of the node API, written from the table and the types.
//!
//! `openapi.json` beside this crate's manifest is what it writes; a test fails when the two differ, so what others
//! generate their clients from is what machines speak. Never part of a machine.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::verb::{Method, Route, SERVICE, Shape, TABLE, Verb};
use crate::{PORT, reply, request};

/// Where schemas lie in the document.
const SCHEMAS: &str = "/components/schemas";

/// The document.
#[must_use]
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in TABLE {
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
        };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(method.to_owned(), operation(route, &mut schemas));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway node API",
            "version": "1",
            "description": "One machine. TLS 1.3 with certificates on both sides; the role is the O= of the client's: \
                            slipway:reader, slipway:operator or slipway:admin. HTTP/2 or HTTP/1.1.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": format!("https://{{machine}}:{PORT}"),
            "variables": { "machine": { "default": "localhost", "description": "name or address of a machine" } } }],
        "security": [{ "client_certificate": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "client_certificate": { "type": "mutualTLS" } },
            "schemas": schemas.take_definitions(true),
        },
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route.verb),
        "summary": route.about,
        "description": format!("Needs the role {}.", route.role),
        "x-slipway-role": route.role,
        "responses": {
            "200": { "description": "done", "content": content(route, schemas) },
            "default": {
                "description": "refused",
                "content": { "application/json": { "schema": schemas.subschema_for::<reply::ErrorReply>() } },
            },
        },
    });
    let parameters = parameters(route, schemas);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = body(route.verb, schemas) {
        operation["requestBody"] = json!({
            "required": route.verb == Verb::Signal,
            "content": { "application/json": { "schema": body } },
        });
    }
    operation
}

/// `Verb::Dmesg` is `dmesg`.
fn operation_id(verb: Verb) -> String {
    format!("{verb:?}").to_lowercase()
}

fn content(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let kind = match route.shape {
        Shape::Document => "application/json",
        Shape::Lines => "application/x-ndjson",
        Shape::Metrics => return json!({ "text/plain": { "schema": { "type": "string" } } }),
    };
    let schema = match route.verb {
        Verb::Version => schemas.subschema_for::<reply::Version>(),
        Verb::Status => schemas.subschema_for::<reply::Status>(),
        Verb::Services => schemas.subschema_for::<reply::Services>(),
        Verb::Service => schemas.subschema_for::<reply::Service>(),
        Verb::Explain => schemas.subschema_for::<reply::Explanation>(),
        Verb::Logs | Verb::Dmesg => schemas.subschema_for::<reply::LogLine>(),
        Verb::Events => schemas.subschema_for::<reply::Event>(),
        Verb::Processes => schemas.subschema_for::<reply::Processes>(),
        Verb::Mounts => schemas.subschema_for::<reply::Mounts>(),
        Verb::Disks => schemas.subschema_for::<reply::Disks>(),
        Verb::Network => schemas.subschema_for::<reply::Network>(),
        Verb::Boot => schemas.subschema_for::<reply::Boot>(),
        Verb::Config => schemas.subschema_for::<reply::Config>(),
        Verb::Start
        | Verb::Stop
        | Verb::Restart
        | Verb::Reload
        | Verb::Reset
        | Verb::Signal
        | Verb::Hold
        | Verb::Release
        | Verb::Reboot
        | Verb::Shutdown
        | Verb::Reexec => schemas.subschema_for::<reply::Accepted>(),
        Verb::Metrics => return json!({}),
    };
    json!({ kind: { "schema": schema } })
}

fn body(verb: Verb, schemas: &mut SchemaGenerator) -> Option<Value> {
    let schema = match verb {
        Verb::Stop | Verb::Restart => schemas.subschema_for::<request::StopRequest>(),
        Verb::Signal => schemas.subschema_for::<request::SignalRequest>(),
        Verb::Reboot | Verb::Shutdown => schemas.subschema_for::<request::EndRequest>(),
        _ => return None,
    };
    Some(schema.into())
}

fn parameters(route: &Route, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let mut parameters = Vec::new();
    if route.path.contains(SERVICE) {
        parameters
            .push(json!({ "name": "service", "in": "path", "required": true, "schema": { "type": "string" },
            "description": "the service's name" }));
    }
    let query = match route.verb {
        Verb::Logs | Verb::Dmesg => schemas.root_schema_for::<request::LogQuery>(),
        Verb::Events => schemas.root_schema_for::<request::EventQuery>(),
        _ => return parameters,
    };
    let properties = query.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        // The kernel's log is one service's.
        if route.verb == Verb::Dmesg && name == "service" {
            continue;
        }
        let mut schema = schema.clone();
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        parameters.push(json!({ "name": name, "in": "query", "schema": schema, "description": about }));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_document_is_what_machines_speak() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let written = format!("{:#}\n", openapi());
        if std::env::var_os("SLIPWAY_WRITE").is_some() {
            std::fs::write(path, &written).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == written,
            "init/api/openapi.json is out of date: SLIPWAY_WRITE=1 cargo test -p node-api writes it"
        );
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = openapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 30);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
