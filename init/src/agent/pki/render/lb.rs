//! The load balancer: TCP to the control planes that say they are ready.
//!
//! TLS passes through, so clients and API servers see each other's certificates; only the
//! health check speaks TLS itself. The numbers were found by failing servers under load.

use std::fmt::Write;
use std::path::Path;

use machine_config::machine::LbConfig;
use machine_config::{MachineConfig, Role};

use super::{Rendered, pki};
use crate::agent::paths;

/// Everything but the servers. `inter` below 1 s flaps when machines are busy, and
/// `shutdown-sessions` would then cut every watch; `timeout check` bears a slow answer.
const CONFIG: &str = "\
global
    maxconn 20000
    hard-stop-after 30s
    stats socket /run/haproxy/admin.sock mode 600 level admin expose-fd listeners
    log stdout format raw daemon notice

defaults
    mode tcp
    log global
    timeout connect 3s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    timeout client-fin 10s
    timeout check 5s
    option clitcpka
    option srvtcpka

frontend kubernetes
    bind :{port}
    default_backend control-planes

backend control-planes
    balance leastconn
    option redispatch
    option log-health-checks
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host kubernetes.default.svc
    # Not ready: no new connections, but open ones (watches) live on.
    http-check expect error-status L7OKC status 200
    default-server check check-ssl verify required ca-file {ca} verifyhost kubernetes.default.svc inter 1s fastinter 500ms downinter 1s fall 2 rise 2 observe layer4 error-limit 2 on-error fail-check on-marked-down shutdown-sessions
";

const STATISTICS: &str = "
frontend statistics
    mode http
    bind :8404
    timeout client 10s
    monitor-uri /healthz
    http-request use-service prometheus-exporter if { path /metrics }
    stats enable
    stats uri /
";

pub(super) fn render(config: &MachineConfig, lb: &LbConfig, out: &mut Rendered) {
    let ca = pki("kubernetes-ca.crt");
    out.text(&ca, lb.kubernetes_ca.as_pem());
    let port = config.cluster.endpoint.port;
    let mut text = CONFIG.replace("{port}", &port.to_string()).replace("{ca}", &ca);
    for machine in config.cluster.of_role(Role::ControlPlane) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    server {} {}:6443", machine.name, machine.address);
    }
    text.push_str(STATISTICS);
    out.text(Path::new(paths::HAPROXY).join("haproxy.cfg"), text);
}
