//! The role in `kubectl get nodes`: a label that a node may not give itself.
//!
//! Pure: the inventory and the API's list of nodes in, the patches that are missing out.

use machine_config::machine::Cluster;
use machine_config::{MachineName, Role};
use serde_json::{Value, json};

/// A label that is missing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Missing {
    /// The node's path.
    pub path: String,
    /// A merge patch.
    pub patch: Value,
}

/// What is missing on the nodes of `list` (a NodeList) that the inventory knows.
pub(super) fn missing(cluster: &Cluster, list: &Value) -> Vec<Missing> {
    let nodes = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    nodes.iter().filter_map(|node| missing_on(cluster, node)).collect()
}

fn missing_on(cluster: &Cluster, node: &Value) -> Option<Missing> {
    // Only a name that parses goes into a path.
    let name: MachineName = node.pointer("/metadata/name")?.as_str()?.parse().ok()?;
    let label = match cluster.machines.iter().find(|machine| machine.name == name)?.role {
        Role::ControlPlane => "node-role.kubernetes.io/control-plane",
        Role::Worker => "node-role.kubernetes.io/worker",
        Role::Lb | Role::Etcd => return None,
    };
    if node.pointer("/metadata/labels").is_some_and(|labels| labels.get(label).is_some()) {
        return None;
    }
    Some(Missing {
        path: format!("/api/v1/nodes/{name}"),
        patch: json!({ "metadata": { "labels": { label: "" } } }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::fixture::config;

    fn node(name: &str, labels: Value) -> Value {
        json!({ "metadata": { "name": name, "labels": labels } })
    }

    #[test]
    fn a_node_gets_its_role_once() {
        let cluster = config(Role::ControlPlane).cluster;
        let list = json!({ "items": [
            node("w1", json!({ "kubernetes.io/hostname": "w1" })),
            node("cp1", json!({ "node-role.kubernetes.io/control-plane": "" })),
            node("stranger", json!({})),
        ] });
        let missing = missing(&cluster, &list);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].path, "/api/v1/nodes/w1");
        assert_eq!(missing[0].patch["metadata"]["labels"]["node-role.kubernetes.io/worker"], "");
    }

    #[test]
    fn an_answer_that_is_no_list_is_an_empty_one() {
        assert!(missing(&config(Role::ControlPlane).cluster, &json!({ "kind": "Status" })).is_empty());
    }
}
