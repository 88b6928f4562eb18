//! What a supervised service is: data in the image, one TOML file per service.
//!
//! `profiles/services/NAME.toml` is such a file; the builder checks a role's whole set
//! (unknown names, cycles) with [`order`] and PID 1 supervises it. What depends on
//! the cluster (flags, certificates) is not here: agents write it below /run/slipway
//! before the services that need it start, and `args-file` points there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::ServiceName;

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceSpec {
    /// Its name; the file's name too.
    pub name: ServiceName,
    /// One line for people.
    pub description: String,
    /// Program (absolute path) and fixed arguments.
    pub exec: Vec<String>,
    /// A file with one more argument per line, written by an agent; read at each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args_file: Option<PathBuf>,
    /// Services that must be ready before this one starts.
    #[serde(default)]
    pub needs: BTreeSet<ServiceName>,
    /// The earliest moment that it starts at, whatever it needs.
    #[serde(default)]
    pub start: Start,
    /// How it shows that it is ready.
    pub ready: Readiness,
    /// Its environment, whole: nothing is inherited but PATH.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// User and group it runs as; root without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// How dear it is to the OOM killer, -1000..=1000.
    #[serde(default)]
    pub oom_score_adjust: i16,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Whether the machine counts as up only once this one is ready.
    #[serde(default = "yes")]
    pub milestone: bool,
}

fn yes() -> bool {
    true
}

/// The earliest moment at which a service starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// As soon as everything it needs is ready.
    #[default]
    WhileBooting,
    /// Only when the machine is up: it looks at the machine, and nothing waits for it.
    WhenUp,
}

/// How a service shows that it is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Readiness {
    /// It runs once: ready when it has exited with 0, tried again when it fails.
    Exit {},
    /// It sends `READY=1` to `$NOTIFY_SOCKET` (sd_notify's protocol).
    Notify {},
    /// PID 1 runs this command beside it; ready when the command exits with 0.
    /// The command waits by itself and is killed with the service.
    Probe {
        /// Program and arguments, such as `/usr/sbin/init probe http http://127.0.0.1:2381/readyz`.
        command: Vec<String>,
    },
}

/// How a service is stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Stop {
    /// What asks it to end.
    pub signal: StopSignal,
    /// Seconds from there to SIGKILL.
    pub timeout_seconds: u32,
    /// What is killed when it is stopped or has died.
    pub kill: KillScope,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: StopSignal::Term, timeout_seconds: 10, kill: KillScope::Cgroup }
    }
}

impl Stop {
    /// The time from the signal to SIGKILL.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds))
    }
}

/// What asks a service to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGUSR1: haproxy's soft stop.
    Usr1,
}

/// What is killed with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillScope {
    /// Everything in its cgroup: nothing survives it.
    Cgroup,
    /// Its main process only: containerd's shims, and so the pods, live on.
    Process,
}

/// What a service may use; what is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// cgroup `memory.max`, in MiB.
    pub memory_max_mib: Option<u64>,
    /// cgroup `cpu.weight`, 1..=10000; 100 when absent.
    pub cpu_weight: Option<u16>,
    /// cgroup `pids.max`.
    pub pids_max: Option<u32>,
    /// RLIMIT_NOFILE, soft and hard.
    pub open_files: Option<u64>,
}

/// What is wrong with a set of services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An edge to nowhere.
    #[error("service {service} needs {missing}, which is not among the role's services")]
    Unknown {
        /// Who needs.
        service: ServiceName,
        /// Whom.
        missing: ServiceName,
    },
    /// Services that wait for each other.
    #[error("services wait for each other: {}", .0.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" -> "))]
    Cycle(Vec<ServiceName>),
    /// The same name twice.
    #[error("service {0} is listed twice")]
    Duplicate(ServiceName),
    /// The machine would be up only after what starts once it is up.
    #[error("service {0} starts when the machine is up, so it must not be a milestone")]
    LateMilestone(ServiceName),
    /// A service would wait for the machine to be up without saying so.
    #[error(
        "service {service} needs {late}, which starts only when the machine is up; it must start when-up, too"
    )]
    NeedsLate {
        /// Who needs.
        service: ServiceName,
        /// Whom.
        late: ServiceName,
    },
    /// No program, or one that is not an absolute path.
    #[error("service {0}: exec must begin with a program's absolute path")]
    NoProgram(ServiceName),
}

/// Puts `specs` in an order in which everything comes after what it needs.
///
/// # Errors
/// [`GraphError`] when there is no such order or a name is unknown.
pub fn order(specs: &[ServiceSpec]) -> Result<Vec<ServiceName>, GraphError> {
    let mut by_name: BTreeMap<&ServiceName, &ServiceSpec> = BTreeMap::new();
    for spec in specs {
        if by_name.insert(&spec.name, spec).is_some() {
            return Err(GraphError::Duplicate(spec.name.clone()));
        }
        if !spec.exec.first().is_some_and(|program| program.starts_with('/')) {
            return Err(GraphError::NoProgram(spec.name.clone()));
        }
        if spec.start == Start::WhenUp && spec.milestone {
            return Err(GraphError::LateMilestone(spec.name.clone()));
        }
    }
    for spec in specs {
        if let Some(missing) = spec.needs.iter().find(|need| !by_name.contains_key(need)) {
            return Err(GraphError::Unknown { service: spec.name.clone(), missing: missing.clone() });
        }
        let is_late = |name: &&ServiceName| by_name.get(name).is_some_and(|spec| spec.start == Start::WhenUp);
        if let Some(late) = spec.needs.iter().find(is_late).filter(|_| spec.start != Start::WhenUp) {
            return Err(GraphError::NeedsLate { service: spec.name.clone(), late: late.clone() });
        }
    }
    let mut done: Vec<ServiceName> = Vec::new();
    let mut placed: BTreeSet<&ServiceName> = BTreeSet::new();
    while done.len() < by_name.len() {
        let before = done.len();
        for (name, spec) in &by_name {
            if !placed.contains(name) && spec.needs.iter().all(|need| placed.contains(need)) {
                placed.insert(name);
                done.push((*name).clone());
            }
        }
        if done.len() == before {
            return Err(GraphError::Cycle(cycle(&by_name, &placed)));
        }
    }
    Ok(done)
}

/// One cycle among what could not be placed: follow unplaced needs until a name comes again.
fn cycle(
    by_name: &BTreeMap<&ServiceName, &ServiceSpec>,
    placed: &BTreeSet<&ServiceName>,
) -> Vec<ServiceName> {
    let mut path: Vec<ServiceName> = Vec::new();
    let mut at = by_name.values().find(|spec| !placed.contains(&spec.name));
    while let Some(spec) = at {
        if let Some(start) = path.iter().position(|name| *name == spec.name) {
            path.drain(..start);
            path.push(spec.name.clone());
            return path;
        }
        path.push(spec.name.clone());
        at = spec.needs.iter().find(|need| !placed.contains(need)).and_then(|need| by_name.get(need));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, needs: &[&str]) -> ServiceSpec {
        let needs: Vec<String> = needs.iter().map(|n| format!("{n:?}")).collect();
        toml::from_str(&format!(
            "name = {name:?}\ndescription = \"x\"\nexec = [\"/bin/x\"]\nneeds = [{}]\nready = {{ by = \"notify\" }}",
            needs.join(",")
        ))
        .unwrap()
    }

    #[test]
    fn everything_comes_after_what_it_needs() {
        let specs = [service("c", &["b", "a"]), service("b", &["a"]), service("a", &[])];
        let order = order(&specs).unwrap();
        let names: Vec<&str> = order.iter().map(ServiceName::as_str).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn a_cycle_is_named_edge_by_edge() {
        let specs = [service("a", &["b"]), service("b", &["c"]), service("c", &["b"])];
        let error = order(&specs).unwrap_err();
        assert_eq!(error.to_string(), "services wait for each other: b -> c -> b");
    }

    #[test]
    fn a_need_that_nobody_provides_is_refused() {
        let error = order(&[service("a", &["ghost"])]).unwrap_err();
        assert!(matches!(error, GraphError::Unknown { .. }));
    }

    #[test]
    fn nothing_that_the_machine_waits_for_may_start_only_when_it_is_up() {
        let late =
            |needs: &[&str]| ServiceSpec { start: Start::WhenUp, milestone: false, ..service("late", needs) };
        assert!(order(&[service("a", &[]), late(&["a"])]).is_ok());
        let milestone = ServiceSpec { milestone: true, ..late(&[]) };
        assert!(matches!(order(&[milestone]), Err(GraphError::LateMilestone(_))));
        let error = order(&[service("a", &["late"]), late(&[])]).unwrap_err();
        assert!(matches!(error, GraphError::NeedsLate { .. }));
    }

    #[test]
    fn an_unknown_field_of_a_readiness_is_refused() {
        let text =
            "name = \"a\"\ndescription = \"x\"\nexec = [\"/bin/x\"]\nready = { by = \"exit\", often = true }";
        assert!(toml::from_str::<ServiceSpec>(text).is_err());
    }
}
