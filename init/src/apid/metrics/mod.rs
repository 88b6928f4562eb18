//! The metrics: one snapshot of the machine as Prometheus' text.
//!
//! Pure. Names and units follow Prometheus' conventions: base units, `_total` on what only grows, and for what ends at
//! some moment that moment (`_timestamp_seconds`), from which a rule makes days left by `- time()`. A state is a row
//! per state, one of which is 1.

use std::fmt::Write;

use jiff::Timestamp;
use node_api::reply::{BootMark, Config, Memory, Pressure, Service, State, Usage, Version};

use super::logs::Counters;
use crate::control::message::Own;

/// What is counted.
#[derive(Debug)]
pub struct Snapshot {
    /// What runs.
    pub version: Version,
    /// Services.
    pub services: Vec<Service>,
    /// PID 1 about itself.
    pub own: Own,
    /// Events since boot.
    pub events: u64,
    /// The boot's marks.
    pub marks: Vec<BootMark>,
    /// The config in force.
    pub config: Option<Config>,
    /// Pressure.
    pub pressure: Vec<Pressure>,
    /// Memory.
    pub memory: Memory,
    /// Logs; nothing where nobody keeps them or their keeper is away.
    pub logs: Vec<Counters>,
    /// Certificates by name, and when they end.
    pub certificates: Vec<(String, Timestamp)>,
}

/// What a metric does over time.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Renders it.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut out = Text::default();
    machine(snapshot, &mut out);
    services(&snapshot.services, &mut out);
    usage(&snapshot.services, &mut out);
    logs(&snapshot.logs, &mut out);
    pid1(&snapshot.own, &mut out);
    out.0
}

fn machine(snapshot: &Snapshot, out: &mut Text) {
    let Version { slipway, kernel, role, machine, .. } = &snapshot.version;
    let machine = machine.as_deref().unwrap_or_default();
    let labels = [("version", slipway.as_str()), ("kernel", kernel), ("role", role), ("machine", machine)];
    out.family("slipway_build_info", Kind::Gauge, "What runs on the machine.");
    out.row("slipway_build_info", &labels, 1.0);
    out.family(
        "slipway_boot_stage_seconds",
        Kind::Gauge,
        "When the boot reached a stage, since the kernel's clock began.",
    );
    for mark in &snapshot.marks {
        out.row("slipway_boot_stage_seconds", &[("stage", &mark.name)], seconds(mark.at_ms, 1e3));
    }
    if let Some(config) = &snapshot.config {
        out.one(
            "slipway_config_serial",
            Kind::Gauge,
            "The serial of the config in force.",
            exact(config.serial),
        );
        if let Ok(expires) = config.expires.parse::<Timestamp>() {
            out.one(
                "slipway_config_expiry_timestamp_seconds",
                Kind::Gauge,
                "When the config in force ends.",
                moment(expires),
            );
        }
    }
    let name = "slipway_certificate_expiry_timestamp_seconds";
    out.family(name, Kind::Gauge, "When a certificate of the machine ends.");
    for (certificate, expires) in &snapshot.certificates {
        out.row(name, &[("certificate", certificate)], moment(*expires));
    }
    out.one(
        "slipway_memory_size_bytes",
        Kind::Gauge,
        "The machine's memory.",
        exact(snapshot.memory.total_bytes),
    );
    out.one(
        "slipway_memory_available_bytes",
        Kind::Gauge,
        "Memory that could be had without swapping.",
        exact(snapshot.memory.available_bytes),
    );
    for (name, about, value) in [
        (
            "slipway_pressure_waiting_seconds_total",
            "Time in which some task waited for a resource.",
            (|p| p.some_us) as fn(&Pressure) -> u64,
        ),
        ("slipway_pressure_stalled_seconds_total", "Time in which every task waited for a resource.", |p| {
            p.full_us
        }),
    ] {
        out.family(name, Kind::Counter, about);
        for pressure in &snapshot.pressure {
            out.row(name, &[("resource", &pressure.resource)], seconds(value(pressure), 1e6));
        }
    }
    out.one("slipway_events_total", Kind::Counter, "Events since boot.", exact(snapshot.events));
}

fn services(services: &[Service], out: &mut Text) {
    out.family("slipway_service_state", Kind::Gauge, "The state of a service: 1 for the one that it is in.");
    for service in services {
        for state in State::ALL {
            let value = if service.state == state { 1.0 } else { 0.0 };
            out.row("slipway_service_state", &[("service", &service.name), ("state", state.as_str())], value);
        }
    }
    let flag = |value: bool| if value { 1.0 } else { 0.0 };
    let ready = |service: &Service| {
        let stamps = service.stamps;
        Some(seconds(stamps.ready_ms?.checked_sub(stamps.started_ms?)?, 1e3))
    };
    type Value<'a> = &'a dyn Fn(&Service) -> Option<f64>;
    let rows: [(&str, Kind, &str, Value<'_>); 8] = [
        ("slipway_service_wanted", Kind::Gauge, "Whether a service is wanted up.", &|s| Some(flag(s.wanted))),
        ("slipway_service_held", Kind::Gauge, "Whether an operator holds a service as it is.", &|s| {
            Some(flag(s.held))
        }),
        ("slipway_service_alarm", Kind::Gauge, "Whether a person should look at a service.", &|s| {
            Some(flag(s.alarm.is_some()))
        }),
        (
            "slipway_service_degrades_node",
            Kind::Gauge,
            "Whether a service fails so often that the node does not do its work.",
            &|s| Some(flag(s.degrades_node)),
        ),
        ("slipway_service_restarts_total", Kind::Counter, "Starts of a service after its first.", &|s| {
            Some(f64::from(s.starts.saturating_sub(1)))
        }),
        ("slipway_service_failures", Kind::Gauge, "Failures of a service in a row.", &|s| {
            Some(f64::from(s.failures))
        }),
        (
            "slipway_service_unasked_probes_total",
            Kind::Counter,
            "Probes of a service that could not be asked, so that it said neither yes nor no.",
            &|s| Some(f64::from(s.could_not_ask)),
        ),
        (
            "slipway_service_start_duration_seconds",
            Kind::Gauge,
            "How long the latest start of a service took.",
            &ready,
        ),
    ];
    for (name, kind, about, value) in rows {
        out.family(name, kind, about);
        for service in services {
            if let Some(value) = value(service) {
                out.row(name, &[("service", &service.name)], value);
            }
        }
    }
}

fn usage(services: &[Service], out: &mut Text) {
    type Value<'a> = &'a dyn Fn(&Usage) -> Option<f64>;
    let rows: [(&str, Kind, &str, Value<'_>); 7] = [
        ("slipway_service_cpu_seconds_total", Kind::Counter, "Time of a service on CPUs.", &|u| {
            Some(seconds(u.cpu_us, 1e6))
        }),
        ("slipway_service_memory_bytes", Kind::Gauge, "Memory of a service, caches included.", &|u| {
            Some(exact(u.memory_bytes))
        }),
        ("slipway_service_memory_peak_bytes", Kind::Gauge, "The most memory that a service had.", &|u| {
            u.memory_peak_bytes.map(exact)
        }),
        ("slipway_service_read_bytes_total", Kind::Counter, "Read from disks by a service.", &|u| {
            Some(exact(u.read_bytes))
        }),
        ("slipway_service_written_bytes_total", Kind::Counter, "Written to disks by a service.", &|u| {
            Some(exact(u.written_bytes))
        }),
        ("slipway_service_tasks", Kind::Gauge, "Processes and threads of a service.", &|u| {
            Some(exact(u.tasks))
        }),
        (
            "slipway_service_oom_kills_total",
            Kind::Counter,
            "Processes of a service that were killed for memory.",
            &|u| Some(exact(u.oom_kills)),
        ),
    ];
    for (name, kind, about, value) in rows {
        out.family(name, kind, about);
        for service in services {
            if let Some(value) = service.usage.as_ref().and_then(value) {
                out.row(name, &[("service", &service.name)], value);
            }
        }
    }
}

fn logs(counters: &[Counters], out: &mut Text) {
    out.family("slipway_log_lines_total", Kind::Counter, "Lines of a service that were kept.");
    for Counters { service, lines, .. } in counters {
        out.row("slipway_log_lines_total", &[("service", service)], exact(*lines));
    }
    out.family(
        "slipway_log_dropped_lines_total",
        Kind::Counter,
        "Lines of a service that were lost, and why.",
    );
    for Counters { service, dropped, .. } in counters {
        for (reason, lines) in dropped {
            let labels = [("service", service.as_str()), ("reason", reason)];
            out.row("slipway_log_dropped_lines_total", &labels, exact(*lines));
        }
    }
}

fn pid1(own: &Own, out: &mut Text) {
    for (name, kind, about, value) in [
        ("slipway_pid1_turns_total", Kind::Counter, "Turns of PID 1's loop.", exact(own.turns)),
        ("slipway_pid1_busy_seconds_total", Kind::Counter, "What they took.", seconds(own.busy_us, 1e6)),
        (
            "slipway_pid1_longest_turn_seconds",
            Kind::Gauge,
            "The longest of them.",
            seconds(own.longest_turn_us, 1e6),
        ),
        (
            "slipway_pid1_slow_turns_total",
            Kind::Counter,
            "Those that took more than 50 ms.",
            exact(own.slow_turns),
        ),
        (
            "slipway_pid1_reaped_processes_total",
            Kind::Counter,
            "Processes that PID 1 reaped.",
            exact(own.reaped),
        ),
        (
            "slipway_pid1_reexecs_total",
            Kind::Counter,
            "How often PID 1 replaced itself.",
            f64::from(own.reexecs),
        ),
        (
            "slipway_pid1_recoveries_total",
            Kind::Counter,
            "How often PID 1 recovered from a fault of its own.",
            f64::from(own.recoveries),
        ),
        (
            "slipway_log_dropped_bytes_total",
            Kind::Counter,
            "Bytes of logs that were lost while their keeper was away.",
            exact(own.log_bytes_dropped),
        ),
    ] {
        out.one(name, kind, about, value);
    }
}

/// Prometheus' numbers are doubles: what is lost of a count beyond 2^53 is not missed.
#[allow(clippy::cast_precision_loss, reason = "said above")]
fn exact(count: u64) -> f64 {
    count as f64
}

fn seconds(count: u64, per_second: f64) -> f64 {
    exact(count) / per_second
}

#[allow(clippy::cast_precision_loss, reason = "seconds of this calendar fit")]
fn moment(at: Timestamp) -> f64 {
    at.as_second() as f64
}

/// Prometheus' text format.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: Kind, about: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}");
    }

    fn row(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            self.0.push(if n == 0 { '{' } else { ',' });
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{label}=\"{text}\"");
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: Kind, about: &str, value: f64) {
        self.family(name, kind, about);
        self.row(name, &[], value);
    }
}

#[cfg(test)]
mod tests;
