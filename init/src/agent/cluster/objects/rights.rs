//! Who may do what, beyond Kubernetes' own rules.
//!
//! Only bindings where Kubernetes has a role already. Nodes speak with one identity each,
//! so what kube-proxy and flannel need is given to nodes.

use serde_json::{Value, json};

use super::{Object, object};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Who gets a role.
enum Subject {
    /// Everybody of a group.
    Group(&'static str),
    /// One user.
    User(&'static str),
}

/// Nodes that have only the token yet.
const NEW_NODES: Subject = Subject::Group("system:bootstrappers:nodes");
/// Nodes with a certificate.
const NODES: Subject = Subject::Group("system:nodes");

/// What lets a new node in: this before the token that makes use of it. It may ask for a
/// certificate and no more; whether it gets one is `approval`'s decision, so Kubernetes'
/// own approver is given no right to say yes.
pub(super) fn of_new_nodes() -> Vec<Object> {
    vec![binding("slipway:node-bootstrapper", "system:node-bootstrapper", &NEW_NODES)]
}

/// The rights of nodes that are in, and of people.
pub(super) fn of_everybody_else() -> Vec<Object> {
    vec![
        // `kubectl logs` and `exec` go through the API server to the kubelet.
        binding(
            "slipway:kubelet-client",
            "system:kubelet-api-admin",
            &Subject::User("kube-apiserver-kubelet-client"),
        ),
        // The group of the administrators' certificates; taking the binding away locks them out,
        // which `system:masters` would not allow.
        binding("slipway:cluster-admins", "cluster-admin", &Subject::Group("slipway:cluster-admins")),
        binding("slipway:node-proxier", "system:node-proxier", &NODES),
        flannel_role(),
        binding("slipway:flannel", "slipway:flannel", &NODES),
    ]
}

/// A node's own rights cover its own Node object only; routes need the others'.
fn flannel_role() -> Object {
    role(
        "slipway:flannel",
        &json!([
            { "apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"] },
        ]),
    )
}

pub(super) fn role(name: &str, rules: &Value) -> Object {
    object(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "ClusterRole",
            "metadata": { "name": name },
            "rules": rules,
        }),
    )
}

fn binding(name: &str, role: &str, subject: &Subject) -> Object {
    let (kind, subject) = match subject {
        Subject::Group(name) => ("Group", name),
        Subject::User(name) => ("User", name),
    };
    bind(name, role, &json!({ "kind": kind, "name": subject, "apiGroup": GROUP }))
}

/// Binds a cluster role to a subject.
pub(super) fn bind(name: &str, role: &str, subject: &Value) -> Object {
    object(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role },
            "subjects": [subject],
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_alone_lets_a_node_do_nothing_but_ask_for_its_certificate() {
        let given: Vec<String> = of_new_nodes()
            .into_iter()
            .chain(of_everybody_else())
            .filter(|object| object.body.to_string().contains("system:bootstrappers"))
            .map(|object| object.body["roleRef"]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(given, ["system:node-bootstrapper"]);
    }

    #[test]
    fn nobody_but_our_approver_says_yes_to_a_certificate() {
        for object in of_new_nodes().into_iter().chain(of_everybody_else()) {
            let role = object.body["roleRef"]["name"].as_str().unwrap_or_default().to_owned();
            assert!(!role.starts_with("system:certificates.k8s.io:certificatesigningrequests:"), "{role}");
        }
    }

    #[test]
    fn nodes_may_not_write_other_objects_than_their_state() {
        let Object { body, .. } = flannel_role();
        for rule in body["rules"].as_array().unwrap() {
            let verbs = rule["verbs"].to_string();
            assert!(!verbs.contains('*') && !verbs.contains("delete") && !verbs.contains("create"));
        }
    }
}
