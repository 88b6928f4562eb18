//! What Prometheus gets, and that its own tool finds no fault with it.
//!
//! `cargo xtask test` says where the tool lies (`PROMTOOL_ROOT`, out of the lock); without that it is the one that is
//! installed. Where there is none, the test says so and counts as skipped.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use node_api::reply::Stamps;

use super::*;

fn service(name: &str, state: State) -> Service {
    Service {
        name: name.to_owned(),
        description: String::new(),
        wanted: true,
        held: false,
        milestone: true,
        state,
        since_ms: 0,
        pid: None,
        starts: 3,
        failures: 0,
        could_not_ask: 4,
        last_end: None,
        status: None,
        alarm: None,
        degrades_node: state == State::Backoff,
        stamps: Stamps { started_ms: Some(1000), ready_ms: Some(1250), ..Stamps::default() },
        usage: Some(Usage { cpu_us: 1_500_000, memory_peak_bytes: Some(2), ..Usage::default() }),
    }
}

fn text() -> String {
    render(&Snapshot {
        version: Version {
            api: "v1".to_owned(),
            slipway: "0.1.0".to_owned(),
            kernel: "6.12 \"x\"\\".to_owned(),
            role: "worker".to_owned(),
            built: None,
            machine: Some("w1".to_owned()),
            cluster: None,
        },
        services: vec![service("kubelet", State::Ready), service("containerd", State::Backoff)],
        own: Own { busy_us: 2_000_000, longest_turn_us: 1500, ..Own::default() },
        events: 9,
        marks: vec![BootMark { name: "up".to_owned(), at_ms: 1234 }],
        config: Some(Config {
            machine: "w1".to_owned(),
            cluster: "demo".to_owned(),
            role: "worker".to_owned(),
            serial: 7,
            source: String::new(),
            issued: String::new(),
            expires: "1970-01-01T00:01:00Z".to_owned(),
            text: String::new(),
        }),
        pressure: vec![Pressure {
            resource: "io".to_owned(),
            some_percent: 0.0,
            full_percent: 0.0,
            some_us: 500_000,
            full_us: 0,
        }],
        memory: Memory { total_bytes: 10, available_bytes: 5 },
        logs: vec![Counters {
            service: "kubelet".to_owned(),
            lines: 9,
            dropped: vec![("limit", 1), ("disk", 0)],
        }],
        certificates: vec![("kube-apiserver".to_owned(), Timestamp::UNIX_EPOCH)],
    })
}

#[test]
fn what_is_counted_is_told_in_base_units() {
    let text = text();
    for line in [
        "slipway_build_info{version=\"0.1.0\",kernel=\"6.12 \\\"x\\\"\\\\\",role=\"worker\",machine=\"w1\"} 1",
        "slipway_service_state{service=\"containerd\",state=\"backoff\"} 1",
        "slipway_service_state{service=\"containerd\",state=\"ready\"} 0",
        "slipway_service_degrades_node{service=\"containerd\"} 1",
        "slipway_service_degrades_node{service=\"kubelet\"} 0",
        "slipway_service_restarts_total{service=\"kubelet\"} 2",
        "slipway_service_unasked_probes_total{service=\"kubelet\"} 4",
        "slipway_service_start_duration_seconds{service=\"kubelet\"} 0.25",
        "slipway_service_cpu_seconds_total{service=\"kubelet\"} 1.5",
        "slipway_pid1_busy_seconds_total 2",
        "slipway_pid1_longest_turn_seconds 0.0015",
        "slipway_boot_stage_seconds{stage=\"up\"} 1.234",
        "slipway_pressure_waiting_seconds_total{resource=\"io\"} 0.5",
        "slipway_certificate_expiry_timestamp_seconds{certificate=\"kube-apiserver\"} 0",
        "slipway_config_serial 7",
        "slipway_config_expiry_timestamp_seconds 60",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// Out of the lock it has its own loader and libraries with it.
fn promtool(root: Option<&PathBuf>) -> Command {
    let Some(root) = root else { return Command::new("promtool") };
    let mut command = Command::new(root.join("usr/lib64/ld-linux-x86-64.so.2"));
    command
        .arg("--library-path")
        .arg(root.join("usr/lib/x86_64-linux-gnu"))
        .arg(root.join("usr/bin/promtool"));
    command
}

#[test]
fn prometheus_own_tool_finds_no_fault() {
    let root = std::env::var_os("PROMTOOL_ROOT").map(PathBuf::from);
    let mut command = promtool(root.as_ref());
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = match command.spawn() {
        Ok(tool) => tool,
        // Past the harness, which keeps to itself what a test that passes prints.
        Err(error) if root.is_none() && error.kind() == io::ErrorKind::NotFound => {
            let why = "promtool is not installed (Debian: apt-get install prometheus)";
            return writeln!(io::stdout(), "\nSKIPPED: {why}").unwrap();
        }
        Err(error) => panic!("starting promtool: {error}"),
    };
    tool.stdin.take().unwrap().write_all(text().as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
