//! CoreDNS, on the tenth address of the Service subnet, where every kubelet points its pods.
//!
//! The image is one that the builder makes and workers carry; nothing is pulled. Names
//! outside of the cluster go to the machines' resolvers, by address: the pod's own
//! resolv.conf may be empty, and CoreDNS would not start on it.

use std::net::Ipv4Addr;

use machine_config::{MachineConfig, Role};
use serde_json::{Value, json};

use super::rights::{bind, role};
use super::{Object, object};

/// As in profiles/components/image-coredns; a test compares them.
const IMAGE: &str = "registry.k8s.io/coredns/coredns:v1.15.0";
/// The name under which all of it goes.
const NAME: &str = "coredns";

pub(super) fn objects(config: &MachineConfig, resolvers: &[Ipv4Addr]) -> Vec<Object> {
    let corefile = corefile(&config.cluster.domain, resolvers);
    let meta = json!({ "name": NAME, "namespace": "kube-system", "labels": { "k8s-app": "kube-dns" } });
    vec![
        object(
            "/api/v1/namespaces/kube-system/serviceaccounts",
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta }),
        ),
        role(
            "slipway:coredns",
            &json!([
                { "apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"] },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
            ]),
        ),
        bind(
            "slipway:coredns",
            "slipway:coredns",
            &json!({ "kind": "ServiceAccount", "name": NAME, "namespace": "kube-system" }),
        ),
        object(
            "/api/v1/namespaces/kube-system/configmaps",
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": { "Corefile": corefile } }),
        ),
        object("/api/v1/namespaces/kube-system/services", service(config)),
        object("/apis/apps/v1/namespaces/kube-system/deployments", deployment(config, &meta)),
    ]
}

fn corefile(domain: &str, resolvers: &[Ipv4Addr]) -> String {
    let beyond = if resolvers.is_empty() {
        String::new()
    } else {
        let list: Vec<String> = resolvers.iter().map(ToString::to_string).collect();
        format!("    forward . {} {{\n        max_concurrent 1000\n    }}\n", list.join(" "))
    };
    format!(
        "\
.:53 {{
    errors
    health {{
        lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    prometheus :9153
{beyond}    cache 30
    loop
    reload
    loadbalance
}}
"
    )
}

fn service(config: &MachineConfig) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            // Its customary name, which other software looks for.
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" },
        },
        "spec": {
            "selector": { "k8s-app": "kube-dns" },
            "clusterIP": config.cluster.dns_service_address(),
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53 },
                { "name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53 },
                { "name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153 },
            ],
        },
    })
}

fn deployment(config: &MachineConfig, meta: &Value) -> Value {
    // Two, unless there is but one worker to run them.
    let replicas = config.cluster.of_role(Role::Worker).count().clamp(1, 2);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": replicas,
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } },
            "selector": { "matchLabels": { "k8s-app": "kube-dns" } },
            "template": {
                "metadata": { "labels": { "k8s-app": "kube-dns" } },
                "spec": {
                    "serviceAccountName": NAME,
                    "priorityClassName": "system-cluster-critical",
                    "dnsPolicy": "Default",
                    "nodeSelector": { "kubernetes.io/os": "linux" },
                    "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                        "weight": 100,
                        "podAffinityTerm": {
                            "labelSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
                            "topologyKey": "kubernetes.io/hostname",
                        },
                    }] } },
                    "containers": [container()],
                    "volumes": [{
                        "name": "config",
                        "configMap": { "name": NAME, "items": [{ "key": "Corefile", "path": "Corefile" }] },
                    }],
                },
            },
        },
    })
}

fn container() -> Value {
    json!({
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "env": [{ "name": "GOMEMLIMIT", "value": "150MiB" }],
        "resources": { "requests": { "cpu": "50m", "memory": "70Mi" }, "limits": { "memory": "170Mi" } },
        "volumeMounts": [{ "name": "config", "mountPath": "/etc/coredns", "readOnly": true }],
        "ports": [
            { "containerPort": 53, "name": "dns", "protocol": "UDP" },
            { "containerPort": 53, "name": "dns-tcp", "protocol": "TCP" },
            { "containerPort": 9153, "name": "metrics", "protocol": "TCP" },
        ],
        "livenessProbe": {
            "httpGet": { "path": "/health", "port": 8080, "scheme": "HTTP" },
            "initialDelaySeconds": 60, "timeoutSeconds": 5, "failureThreshold": 5,
        },
        // Asked often: whoever starts first waits for names.
        "readinessProbe": {
            "httpGet": { "path": "/ready", "port": 8181, "scheme": "HTTP" },
            "periodSeconds": 2, "timeoutSeconds": 2,
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            // Port 53 is open to everybody in a pod: containerd sets ip_unprivileged_port_start.
            "capabilities": { "drop": ["ALL"] },
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::fixture::config;

    #[test]
    fn the_image_is_the_one_that_the_builder_makes() {
        let recipe = include_str!("../../../../../profiles/components/image-coredns/component.toml");
        assert!(recipe.contains(&format!("name = \"{IMAGE}\"")));
    }

    #[test]
    fn the_service_has_the_address_that_kubelets_are_told() {
        assert_eq!(service(&config(Role::ControlPlane))["spec"]["clusterIP"], "10.96.0.10");
    }

    #[test]
    fn without_resolvers_only_the_cluster_is_answered() {
        let alone = corefile("cluster.local", &[]);
        assert!(!alone.contains("forward"));
        let asked = corefile("cluster.local", &[[10, 0, 0, 1].into(), [10, 0, 0, 2].into()]);
        assert!(asked.contains("    forward . 10.0.0.1 10.0.0.2 {\n"));
        for text in [alone, asked] {
            assert_eq!(text.matches('{').count(), text.matches('}').count());
        }
    }

    #[test]
    fn one_worker_runs_one_replica_and_more_run_two() {
        let mut config = config(Role::ControlPlane);
        let replicas = |config: &MachineConfig| deployment(config, &json!({}))["spec"]["replicas"].as_u64();
        assert_eq!(replicas(&config), Some(1));
        for name in ["w2", "w3"] {
            let mut more = config.cluster.machines[3].clone();
            more.name = name.parse().unwrap();
            config.cluster.machines.push(more);
        }
        assert_eq!(replicas(&config), Some(2));
    }
}
