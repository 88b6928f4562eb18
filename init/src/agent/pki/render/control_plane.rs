//! The control plane: API server, controller manager, scheduler.
//!
//! All three talk to this machine's API server only. Everything that several API servers
//! must agree on (keys, ranges, issuer) comes from the config as it is; nothing of it is
//! made here.

use std::net::{IpAddr, Ipv4Addr};

use machine_config::machine::ControlPlaneConfig;
use machine_config::service::Group;
use machine_config::{MachineConfig, Role};
use serde_json::{Value, json};
use trust::pki::{Leaf, Usage};

use super::etcd::HTTP_PORT;
use super::kubeconfig::{Credentials, kubeconfig};
use super::{Rendered, kubernetes, pki, urls};
use crate::agent::pki::leaf::{Issuer, ORDINARY, POWERFUL, Wish};

/// This machine's API server.
const LOCAL_API: &str = "https://127.0.0.1:6443";
/// How long what the controller manager signs lives; nodes get theirs from the cluster agent.
const SIGNED_HOURS: u32 = 30 * 24;

pub(super) fn render(config: &MachineConfig, plane: &ControlPlaneConfig, out: &mut Rendered) {
    out.authorities.insert(Issuer::Kubernetes, plane.kubernetes_ca.clone());
    out.authorities.insert(Issuer::FrontProxy, plane.front_proxy_ca.clone());
    out.authorities.insert(Issuer::EtcdClient, plane.etcd_client_ca.clone());
    // kubernetes-ca.crt is written for the node, which every control plane is too.
    out.secret(Group::ControllerKeys, pki("kubernetes-ca.key"), plane.kubernetes_ca.key.as_pem());
    out.text(pki("front-proxy-ca.crt"), plane.front_proxy_ca.certificate.as_pem());
    out.text(pki("etcd-ca.crt"), plane.etcd_ca.as_pem());
    out.secret(Group::ServiceAccountKeys, pki("sa.key"), plane.service_account_key.as_pem());
    out.text(pki("sa.pub"), plane.service_account_public_key.as_pem());
    out.wishes.extend(wishes(config));

    out.secret_json(Group::ApiserverKeys, kubernetes("encryption.json"), &encryption(plane));
    out.json(kubernetes("audit-policy.json"), &audit_policy());
    out.json(kubernetes("authentication.json"), &authentication());
    out.json(kubernetes("authorization.json"), &authorization());
    out.json(kubernetes("admission.json"), &admission());
    for name in ["controller-manager", "scheduler"] {
        let credentials = Credentials::Certificate {
            certificate: pki(&format!("{name}.crt")),
            key: pki(&format!("{name}.key")),
        };
        let conf = kubeconfig(LOCAL_API, &pki("kubernetes-ca.crt"), &credentials);
        out.json(kubernetes(&format!("{name}.conf")), &conf);
    }
    out.json(kubernetes("scheduler.json"), &scheduler(config));

    out.args("wait-etcd", &wait_etcd(config));
    out.args("kube-apiserver", &apiserver(config));
    out.args("kube-controller-manager", &controller_manager(config));
    out.args("kube-scheduler", &scheduler_flags());
}

/// Whether there is more than one control plane: only then are leaders elected, and only
/// then does it help clients to be sent to another one.
fn is_alone(config: &MachineConfig) -> bool {
    config.cluster.of_role(Role::ControlPlane).count() == 1
}

fn wishes(config: &MachineConfig) -> Vec<Wish> {
    let client = |name, issuer, readers, common_name: &str| Wish {
        name,
        issuer,
        leaf: Leaf {
            common_name: common_name.to_owned(),
            organization: None,
            dns_names: vec![],
            addresses: vec![],
            usage: Usage::Client,
        },
        lifetime: ORDINARY,
        readers,
    };
    let local = |name, readers, common_name: &str| Wish {
        name,
        issuer: Issuer::Kubernetes,
        leaf: Leaf {
            common_name: common_name.to_owned(),
            organization: None,
            dns_names: vec!["localhost".to_owned(), config.header.machine.to_string()],
            addresses: vec![Ipv4Addr::LOCALHOST.into(), config.network.address.into()],
            usage: Usage::Server,
        },
        lifetime: ORDINARY,
        readers,
    };
    let mut agent = client("cluster-agent", Issuer::Kubernetes, Group::ClusterKeys, "slipway:cluster-agent");
    agent.leaf.organization = Some("system:masters".to_owned());
    agent.lifetime = POWERFUL;
    vec![
        Wish {
            name: "apiserver",
            issuer: Issuer::Kubernetes,
            leaf: serving(config),
            lifetime: ORDINARY,
            readers: Group::ApiserverKeys,
        },
        client(
            "apiserver-kubelet-client",
            Issuer::Kubernetes,
            Group::ApiserverKeys,
            "kube-apiserver-kubelet-client",
        ),
        client(
            "apiserver-etcd-client",
            Issuer::EtcdClient,
            Group::EtcdClientKeys,
            "kube-apiserver-etcd-client",
        ),
        client("front-proxy-client", Issuer::FrontProxy, Group::ApiserverKeys, "front-proxy-client"),
        client(
            "controller-manager",
            Issuer::Kubernetes,
            Group::ControllerKeys,
            "system:kube-controller-manager",
        ),
        client("scheduler", Issuer::Kubernetes, Group::SchedulerKeys, "system:kube-scheduler"),
        local("controller-manager-server", Group::ControllerKeys, "kube-controller-manager"),
        local("scheduler-server", Group::SchedulerKeys, "kube-scheduler"),
        agent,
    ]
}

/// The API server's certificate bears every name by which somebody dials it.
fn serving(config: &MachineConfig) -> Leaf {
    let cluster = &config.cluster;
    let mut dns_names = vec![
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{}", cluster.domain),
        "localhost".to_owned(),
        config.header.machine.to_string(),
    ];
    let mut addresses: Vec<IpAddr> =
        vec![Ipv4Addr::LOCALHOST.into(), cluster.api_service_address().into(), config.network.address.into()];
    for lb in cluster.of_role(Role::Lb) {
        dns_names.push(lb.name.to_string());
        addresses.push(lb.address.into());
    }
    match cluster.endpoint.host.parse::<IpAddr>() {
        Ok(address) => addresses.push(address),
        Err(_) => dns_names.push(cluster.endpoint.host.clone()),
    }
    dedup(&mut dns_names);
    dedup(&mut addresses);
    Leaf {
        common_name: "kube-apiserver".to_owned(),
        organization: None,
        dns_names,
        addresses,
        usage: Usage::Server,
    }
}

fn dedup<T: PartialEq + Clone>(list: &mut Vec<T>) {
    let mut seen: Vec<T> = Vec::new();
    list.retain(|item| {
        let new = !seen.contains(item);
        if new {
            seen.push(item.clone());
        }
        new
    });
}

/// Any one member will do: the API server itself knows all of them. Meanwhile its program is read.
fn wait_etcd(config: &MachineConfig) -> Vec<String> {
    let members = config.cluster.of_role(Role::Etcd);
    let mut args = vec!["https".to_owned()];
    args.extend(urls(members, HTTP_PORT).into_iter().map(|url| format!("{url}/readyz")));
    for (option, file) in [
        ("--ca", "etcd-ca.crt"),
        ("--cert", "apiserver-etcd-client.crt"),
        ("--key", "apiserver-etcd-client.key"),
    ] {
        args.extend([option.to_owned(), pki(file)]);
    }
    // The largest program there is; etcd takes its time on another machine.
    args.extend(["--read-meanwhile".to_owned(), "/usr/bin/kube-apiserver".to_owned()]);
    args
}

fn apiserver(config: &MachineConfig) -> Vec<String> {
    let cluster = &config.cluster;
    // Independent of the endpoint, which may change: tokens stay valid.
    let issuer = format!("https://kubernetes.default.svc.{}", cluster.domain);
    let mut flags = vec![
        format!("--advertise-address={}", config.network.address),
        "--bind-address=0.0.0.0".to_owned(),
        "--secure-port=6443".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
        format!("--etcd-servers={}", urls(cluster.of_role(Role::Etcd), 2379).join(",")),
        format!("--etcd-cafile={}", pki("etcd-ca.crt")),
        format!("--etcd-certfile={}", pki("apiserver-etcd-client.crt")),
        format!("--etcd-keyfile={}", pki("apiserver-etcd-client.key")),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        "--tls-min-version=VersionTLS13".to_owned(),
        format!("--client-ca-file={}", pki("kubernetes-ca.crt")),
        format!("--kubelet-client-certificate={}", pki("apiserver-kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki("apiserver-kubelet-client.key")),
        format!("--kubelet-certificate-authority={}", pki("kubernetes-ca.crt")),
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname".to_owned(),
        format!("--service-account-issuer={issuer}"),
        format!("--service-account-jwks-uri={issuer}/openid/v1/jwks"),
        // The public half is taken from the private one.
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", pki("front-proxy-client.crt")),
        format!("--proxy-client-key-file={}", pki("front-proxy-client.key")),
        "--enable-aggregator-routing=true".to_owned(),
        format!("--service-cluster-ip-range={}", cluster.service_subnet.trunc()),
        "--enable-bootstrap-token-auth=true".to_owned(),
        format!("--authentication-config={}", kubernetes("authentication.json")),
        format!("--authorization-config={}", kubernetes("authorization.json")),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        format!("--admission-control-config-file={}", kubernetes("admission.json")),
        format!("--encryption-provider-config={}", kubernetes("encryption.json")),
        "--encryption-provider-config-automatic-reload=true".to_owned(),
        // At most 100 MB in all, however long the machine runs.
        format!("--audit-policy-file={}", kubernetes("audit-policy.json")),
        "--audit-log-path=/var/log/audit/kube-apiserver.log".to_owned(),
        "--audit-log-maxage=30".to_owned(),
        "--audit-log-maxbackup=4".to_owned(),
        "--audit-log-maxsize=20".to_owned(),
        "--shutdown-send-retry-after=true".to_owned(),
        "--shutdown-watch-termination-grace-period=5s".to_owned(),
    ];
    if !is_alone(config) {
        // Longer than the load balancer needs to see that /readyz has turned.
        flags.push("--shutdown-delay-duration=4s".to_owned());
        // Now and then a client is asked to dial again, so that all servers get their share.
        flags.push("--goaway-chance=0.001".to_owned());
    }
    flags
}

fn controller_manager(config: &MachineConfig) -> Vec<String> {
    let cluster = &config.cluster;
    let conf = kubernetes("controller-manager.conf");
    vec![
        format!("--kubeconfig={conf}"),
        format!("--authentication-kubeconfig={conf}"),
        format!("--authorization-kubeconfig={conf}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--tls-cert-file={}", pki("controller-manager-server.crt")),
        format!("--tls-private-key-file={}", pki("controller-manager-server.key")),
        "--tls-min-version=VersionTLS13".to_owned(),
        format!("--client-ca-file={}", pki("kubernetes-ca.crt")),
        format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")),
        format!("--root-ca-file={}", pki("kubernetes-ca.crt")),
        format!("--service-account-private-key-file={}", pki("sa.key")),
        "--use-service-account-credentials=true".to_owned(),
        format!("--cluster-name={}", config.header.cluster),
        format!("--cluster-signing-cert-file={}", pki("kubernetes-ca.crt")),
        format!("--cluster-signing-key-file={}", pki("kubernetes-ca.key")),
        format!("--cluster-signing-duration={SIGNED_HOURS}h"),
        "--controllers=*,tokencleaner".to_owned(),
        "--allocate-node-cidrs=true".to_owned(),
        format!("--cluster-cidr={}", cluster.pod_subnet.trunc()),
        format!("--node-cidr-mask-size={}", node_prefix(cluster.pod_subnet.prefix_len())),
        format!("--service-cluster-ip-range={}", cluster.service_subnet.trunc()),
        "--configure-cloud-routes=false".to_owned(),
        "--terminated-pod-gc-threshold=100".to_owned(),
        "--profiling=false".to_owned(),
        // The default is below /usr, which is read-only.
        "--flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins".to_owned(),
        format!("--leader-elect={}", !is_alone(config)),
        // At its start it asks for an account for each of its controllers, one after the other; the
        // default of 20 requests per second would hold every new node up.
        "--kube-api-qps=100".to_owned(),
        "--kube-api-burst=200".to_owned(),
    ]
}

/// How much of the pod subnet a node gets: 256 addresses, or less when the subnet is small.
fn node_prefix(subnet: u8) -> u8 {
    if subnet <= 22 { 24 } else { subnet.saturating_add(2).min(28) }
}

fn scheduler_flags() -> Vec<String> {
    let conf = kubernetes("scheduler.conf");
    vec![
        format!("--config={}", kubernetes("scheduler.json")),
        format!("--authentication-kubeconfig={conf}"),
        format!("--authorization-kubeconfig={conf}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--tls-cert-file={}", pki("scheduler-server.crt")),
        format!("--tls-private-key-file={}", pki("scheduler-server.key")),
        "--tls-min-version=VersionTLS13".to_owned(),
        format!("--client-ca-file={}", pki("kubernetes-ca.crt")),
        format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")),
    ]
}

fn scheduler(config: &MachineConfig) -> Value {
    json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": { "kubeconfig": kubernetes("scheduler.conf") },
        "leaderElection": { "leaderElect": !is_alone(config) },
        "enableProfiling": false,
        // One that is not the leader does not keep the whole cluster in memory.
        "delayCacheUntilActive": !is_alone(config),
    })
}

/// Secrets are sealed before they reach etcd; `identity` only reads what was written before.
fn encryption(plane: &ControlPlaneConfig) -> Value {
    let key = json!({ "name": "key1", "secret": plane.encryption_key.expose() });
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [{ "secretbox": { "keys": [key] } }, { "identity": {} }],
        }],
    })
}

/// Who did what to which object, without contents: those of Secrets would be among them.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "None", "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*"] },
            { "level": "None", "resources": [{ "group": "coordination.k8s.io", "resources": ["leases"] }] },
            { "level": "Metadata" },
        ],
    })
}

/// Nobody is let in without credentials, but for health, which load balancers ask about.
fn authentication() -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": true,
            "conditions": [{ "path": "/livez" }, { "path": "/readyz" }, { "path": "/healthz" }],
        },
    })
}

fn authorization() -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": [{ "type": "Node", "name": "node" }, { "type": "RBAC", "name": "rbac" }],
    })
}

/// Pods get Kubernetes' baseline unless their namespace says otherwise.
fn admission() -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "defaults": {
                    "enforce": "baseline", "enforce-version": "latest",
                    "audit": "restricted", "audit-version": "latest",
                    "warn": "restricted", "warn-version": "latest",
                },
                "exemptions": { "usernames": [], "runtimeClasses": [], "namespaces": ["kube-system"] },
            },
        }],
    })
}
