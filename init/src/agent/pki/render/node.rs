//! A node: containerd, kubelet, kube-proxy, flannel.
//!
//! The kubelet's certificate is the node's only identity: it is asked for with a token on
//! the first boot, kept in STATE, and borrowed by kube-proxy and flannel. The CNI
//! configuration is flannel's to write, once it knows the node's subnet.

use machine_config::MachineConfig;
use machine_config::machine::BootstrapToken;
use machine_config::pem::Certificate;
use machine_config::service::Group;
use serde_json::{Value, json};

use super::kubeconfig::{Credentials, kubeconfig};
use super::{Rendered, kubernetes, pki};
use crate::agent::paths;
use crate::agent::pki::identity::NodeIdentity;

/// The pause image, which the builder makes under this name.
const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10.2";
/// containerd's configuration.
const CONTAINERD: &str = "/run/containerd-config/config.toml";
/// Where flannel puts the CNI configuration.
const CNI_DIRECTORY: &str = "/run/cni/net.d";

/// Where the kubelet finds its API server; made anew at each boot, since the endpoint may be another.
const KUBECONFIG: &str = "/run/slipway/kubelet/kubeconfig";

/// What a node is told by its role.
pub(super) struct Node<'a> {
    /// Whose certificate the API shows.
    pub kubernetes_ca: &'a Certificate,
    /// For its first certificate.
    pub token: &'a BootstrapToken,
    /// Where the API is.
    pub api: String,
    /// Which pods may run on it.
    pub takes_pods: TakesPods,
}

/// Which pods may run on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakesPods {
    /// Any.
    All,
    /// Those that tolerate a control plane.
    OnlyTolerating,
}

pub(super) fn render(config: &MachineConfig, node: &Node<'_>, identity: NodeIdentity, out: &mut Rendered) {
    let ca = pki("kubernetes-ca.crt");
    out.text(&ca, node.kubernetes_ca.as_pem());
    out.text(CONTAINERD, containerd());
    out.json(kubernetes("kubelet.json"), &kubelet(config, node.takes_pods));
    out.json(kubernetes("kube-proxy.json"), &kube_proxy(config));
    out.json(kubernetes("flannel.json"), &flannel(config));
    let token = Credentials::Token(node.token.bearer());
    out.secret_json(Group::NodeKeys, kubernetes("bootstrap.conf"), &kubeconfig(&node.api, &ca, &token));
    out.secret(Group::NodeKeys, pki("bootstrap.token"), node.token.bearer().expose());
    let own = kubeconfig(&node.api, &ca, &own_credentials());
    out.json(kubernetes("node.conf"), &own);
    if identity == NodeIdentity::Certificate {
        // After its first boot the kubelet writes it itself.
        out.json(KUBECONFIG, &own);
    }

    out.args("wait-turn", &wait_turn(node));
    out.args("wait-api", &wait_api(node, identity));
    out.args("kubelet", &kubelet_flags(config));
    out.args("kube-proxy", &[format!("--config={}", kubernetes("kube-proxy.json"))]);
    out.args("flannel", &flannel_flags(config));
}

fn kubelet_state(name: &str) -> String {
    format!("{}/{name}", paths::KUBELET_STATE)
}

fn own_credentials() -> Credentials {
    // One file with both; the kubelet turns the link when it renews.
    let pair = kubelet_state("pki/kubelet-client-current.pem");
    Credentials::Certificate { certificate: pair.clone(), key: pair }
}

/// A control plane's own node waits for its cluster agent's word: nothing needs that node
/// yet, and everything needs the API and the controllers, which start on the same CPU.
fn wait_turn(node: &Node<'_>) -> [String; 2] {
    let path = match node.takes_pods {
        TakesPods::All => paths::MACHINE,
        TakesPods::OnlyTolerating => paths::CONTROLLERS_RUN,
    };
    ["file".to_owned(), path.to_owned()]
}

/// Waits for the moment at which the kubelet's first request succeeds; one that comes
/// earlier tries again after pauses that double, and loses seconds by it.
///
/// A node without a certificate waits until the API knows its token and what it allows.
/// Meanwhile the programs that come next are read: their pages are then there when every
/// millisecond counts.
fn wait_api(node: &Node<'_>, identity: NodeIdentity) -> Vec<String> {
    let mut args = vec!["https".to_owned()];
    match identity {
        NodeIdentity::Certificate => args.push(format!("{}/readyz", node.api)),
        NodeIdentity::None => args.extend([
            format!("{}/apis/certificates.k8s.io/v1/certificatesigningrequests?limit=1", node.api),
            "--token".to_owned(),
            pki("bootstrap.token"),
        ]),
    }
    args.extend(["--ca".to_owned(), pki("kubernetes-ca.crt")]);
    for program in ["kubelet", "flanneld"] {
        args.extend(["--read-meanwhile".to_owned(), format!("/usr/bin/{program}")]);
    }
    args
}

fn kubelet_flags(config: &MachineConfig) -> Vec<String> {
    vec![
        format!("--config={}", kubernetes("kubelet.json")),
        format!("--bootstrap-kubeconfig={}", kubernetes("bootstrap.conf")),
        format!("--kubeconfig={KUBECONFIG}"),
        format!("--cert-dir={}", kubelet_state("pki")),
        format!("--hostname-override={}", config.header.machine),
        format!("--node-ip={}", config.network.address),
    ]
}

fn kubelet(config: &MachineConfig, takes_pods: TakesPods) -> Value {
    let taints = match takes_pods {
        TakesPods::All => json!([]),
        TakesPods::OnlyTolerating => {
            json!([{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }])
        }
    };
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true, "cacheTTL": "2m" },
            "x509": { "clientCAFile": pki("kubernetes-ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "rotateCertificates": true,
        "serverTLSBootstrap": true,
        "tlsMinVersion": "VersionTLS13",
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "enforceNodeAllocatable": ["pods"],
        "kubeReserved": { "cpu": "100m", "memory": "192Mi", "pid": "200" },
        "systemReserved": { "cpu": "50m", "memory": "128Mi", "pid": "200" },
        "clusterDNS": [config.cluster.dns_service_address()],
        "clusterDomain": config.cluster.domain,
        "resolvConf": format!("{}/resolv.conf", paths::ETC),
        "podLogsDir": "/var/log/pods",
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        // There is no iptables on the machine.
        "makeIPTablesUtilChains": false,
        "seccompDefault": true,
        // PID 1 waits a minute for it (`agent::login`): ordinary pods first, then those that others need.
        "shutdownGracePeriod": "40s",
        "shutdownGracePeriodCriticalPods": "10s",
        "streamingConnectionIdleTimeout": "5m",
        // PID 1 sets the kernel's parameters; a wrong one should be an error, not be changed.
        "protectKernelDefaults": true,
        // A preloaded image must not become unusable by a failed pull of another one.
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        "registerWithTaints": taints,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 3,
    })
}

fn kube_proxy(config: &MachineConfig) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": config.header.machine,
        "clusterCIDR": config.cluster.pod_subnet.trunc().to_string(),
        "detectLocalMode": "ClusterCIDR",
        "clientConnection": { "kubeconfig": kubernetes("node.conf") },
        "metricsBindAddress": "127.0.0.1:10249",
        // Load balancers in front of Services ask it from outside.
        "healthzBindAddress": "0.0.0.0:10256",
        // 0: leave the kernel's parameters to PID 1.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
}

fn flannel(config: &MachineConfig) -> Value {
    json!({
        "Network": config.cluster.pod_subnet.trunc().to_string(),
        "EnableNFTables": true,
        "Backend": { "Type": "vxlan" },
    })
}

fn flannel_flags(config: &MachineConfig) -> Vec<String> {
    vec![
        format!("--kubeconfig-file={}", kubernetes("node.conf")),
        format!("--node-name={}", config.header.machine),
        format!("--iface={}", config.network.address),
        format!("--net-config-path={}", kubernetes("flannel.json")),
        "--subnet-file=/run/flannel/subnet.env".to_owned(),
        format!("--cni-config-file={CNI_DIRECTORY}/10-slipway.conflist"),
        "--ip-masq".to_owned(),
        "--healthz-address=127.0.0.1:10254".to_owned(),
    ]
}

/// Only what a node needs is loaded; images are in the image already, a pull works too.
fn containerd() -> String {
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.native",
    "io.containerd.differ.v1.erofs",
]

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "/usr/bin/runc"
SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{CNI_DIRECTORY}"
use_internal_loopback = true
"#
    )
}
