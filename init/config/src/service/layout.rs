//! From a role's specs to its table: names become places, defaults are filled in, and what
//! cannot work is refused while the image is built, with the edge or field at fault.
//!
//! The order of the table is one in which everything comes after what it needs. Pure; the
//! builder calls it, PID 1 only reads its result.

use std::collections::BTreeMap;

use super::access::{Group, is_directory_path};
use super::sandbox::{Sandbox, SystemCalls};
use super::spec::{
    Class, EdgeSpec, IoMax, Limits, NoTimeout, ReadySpec, ReloadSpec, ServiceSpec, Start, StartTimeout,
};
use super::table::{Edge, EdgeKind, Liveness, Place, Ready, Reload, Table, Unit};
use crate::name::ServiceName;
use crate::span::Span;

/// The longest chain of needs. A longer one is a mistake, and start and stop walk it.
pub const DEPTH_MAX: usize = 32;
/// How long a wanted service is waited for when its edge does not say.
const WANTED_WITHIN: Span = Span::from_secs(30);
/// The longest pause of a service that the machine does its work through.
const LONGEST_PAUSE_CRITICAL: Span = Span::from_secs(60);
/// The longest pause of any other.
const LONGEST_PAUSE_ORDINARY: Span = Span::from_secs(300);

/// The processes and threads of a service that does not say. Go has a thread per CPU at work and one per system call
/// that waits: some hundreds for etcd or the API server on the largest machine. A service that goes round in fork(2)
/// has cost the machine 100 MiB by then, and the other services nothing.
const PIDS_MAX: u32 = 4096;

/// What is wrong with a set of services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// An edge to nowhere.
    #[error("service {service} {how} {missing}, which is not among the role's services")]
    Unknown {
        /// Who needs.
        service: ServiceName,
        /// By which kind of edge.
        how: &'static str,
        /// Whom.
        missing: ServiceName,
    },
    /// Services that wait for each other.
    #[error("services wait for each other: {0}")]
    Cycle(String),
    /// The same name twice.
    #[error("service {0} is listed twice")]
    Duplicate(ServiceName),
    /// Two edges between the same two.
    #[error("service {service} names {other} in more than one of its lists of needs")]
    Twice {
        /// Who needs.
        service: ServiceName,
        /// Whom.
        other: ServiceName,
    },
    /// A chain of needs that is too long.
    #[error("service {service} ends a chain of {depth} needs; at most {DEPTH_MAX} are allowed")]
    Deep {
        /// The end of the chain.
        service: ServiceName,
        /// Its length.
        depth: usize,
    },
    /// The machine would be up only after what starts once it is up.
    #[error("service {0} does not start while the machine boots, so it must not be a milestone")]
    LateMilestone(ServiceName),
    /// A service would wait for the machine to be up without saying so.
    #[error(
        "service {service} {how} {late}, which starts only when the machine is up; it must start when-up, too"
    )]
    NeedsLate {
        /// Who needs.
        service: ServiceName,
        /// By which kind of edge.
        how: &'static str,
        /// Whom.
        late: ServiceName,
    },
    /// A directory in another's.
    #[error("service {service} has the directory {path}, which is {owner}'s or lies in one of {owner}'s")]
    Directory {
        /// Whose.
        service: ServiceName,
        /// Which.
        path: String,
        /// Who has it, or the one around it.
        owner: ServiceName,
    },
    /// A field that makes no sense.
    #[error("service {service}: {field}: {why}")]
    Field {
        /// Whose.
        service: ServiceName,
        /// Which.
        field: &'static str,
        /// Why.
        why: &'static str,
    },
}

/// Lays `specs` out.
///
/// # Errors
/// [`LayoutError`], the first one found.
pub fn layout(specs: &[ServiceSpec]) -> Result<Table, LayoutError> {
    let mut by_name: BTreeMap<&ServiceName, &ServiceSpec> = BTreeMap::new();
    for spec in specs {
        if by_name.insert(&spec.name, spec).is_some() {
            return Err(LayoutError::Duplicate(spec.name.clone()));
        }
        fields(spec)?;
    }
    for spec in specs {
        edges_exist(spec, &by_name)?;
    }
    directories(specs)?;
    let order = order(&by_name)?;
    let place: BTreeMap<&ServiceName, Place> =
        order.iter().zip(0_u16..).map(|(spec, place)| (&spec.name, Place(place))).collect();
    let mut depths: Vec<usize> = Vec::new();
    for spec in &order {
        let needs = needs(spec).filter_map(|(edge, _)| place.get(&edge.service));
        let depth = needs.filter_map(|need| depths.get(need.index())).max().map_or(0, |depth| depth + 1);
        if depth > DEPTH_MAX {
            return Err(LayoutError::Deep { service: spec.name.clone(), depth });
        }
        depths.push(depth);
    }
    Ok(Table { units: order.into_iter().map(|spec| unit(spec, &place)).collect() })
}

/// A spec's edges with the words for their kind.
fn needs(spec: &ServiceSpec) -> impl Iterator<Item = (&EdgeSpec, &'static str)> {
    let kinds = [
        (&spec.requires, "requires"),
        (&spec.milestones, "has as milestone"),
        (&spec.wants, "wants"),
        (&spec.after, "comes after"),
    ];
    kinds.into_iter().flat_map(|(edges, how)| edges.iter().map(move |edge| (edge, how)))
}

fn edges_exist(
    spec: &ServiceSpec,
    by_name: &BTreeMap<&ServiceName, &ServiceSpec>,
) -> Result<(), LayoutError> {
    let service = || spec.name.clone();
    for (n, (edge, how)) in needs(spec).enumerate() {
        let Some(other) = by_name.get(&edge.service) else {
            return Err(LayoutError::Unknown { service: service(), how, missing: edge.service.clone() });
        };
        if needs(spec).skip(n + 1).any(|(again, _)| again.service == edge.service) {
            return Err(LayoutError::Twice { service: service(), other: edge.service.clone() });
        }
        let waits = how != "comes after";
        if waits && other.start == Start::WhenUp && spec.start == Start::WhileBooting {
            return Err(LayoutError::NeedsLate { service: service(), how, late: edge.service.clone() });
        }
        if edge.within.is_some() && how != "wants" {
            let why = "only a wanted service is waited for that long";
            return Err(LayoutError::Field { service: service(), field: "within", why });
        }
    }
    Ok(())
}

/// Nobody's directory lies in another's: whoever has the outer one could put a link in the inner one's place.
fn directories(specs: &[ServiceSpec]) -> Result<(), LayoutError> {
    let mut all: Vec<(&str, &ServiceSpec)> = Vec::new();
    for spec in specs {
        all.extend(spec.directories.keys().map(|path| (path.as_str(), spec)));
    }
    for (outer, owner) in &all {
        let within = |inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let inner = all.iter().find(|(inner, spec)| spec.name != owner.name && within(inner));
        if let Some((path, spec)) = inner {
            let (service, owner) = (spec.name.clone(), owner.name.clone());
            return Err(LayoutError::Directory { service, path: (*path).to_owned(), owner });
        }
    }
    Ok(())
}

/// What can be said of a spec by itself.
fn fields(spec: &ServiceSpec) -> Result<(), LayoutError> {
    let wrong = |field, why| Err(LayoutError::Field { service: spec.name.clone(), field, why });
    let is_program = |command: &[String]| command.first().is_some_and(|program| program.starts_with('/'));
    let has_nul = |command: &[String]| command.iter().any(|word| word.contains('\0'));
    let is_task = matches!(spec.ready, ReadySpec::Exit {});
    let commands = || spec.before_start.iter().chain(&spec.after_stop);
    if spec.start != Start::WhileBooting && spec.milestone {
        return Err(LayoutError::LateMilestone(spec.name.clone()));
    }
    if !is_program(&spec.exec) {
        return wrong("exec", "must begin with a program's absolute path");
    }
    if commands().any(|command| !is_program(command)) {
        return wrong("before-start, after-stop", "each must begin with a program's absolute path");
    }
    if has_nul(&spec.exec) || commands().any(|command| has_nul(command)) {
        return wrong("exec", "a word has a NUL byte");
    }
    if spec.environment.iter().any(|(name, value)| name.contains(['=', '\0']) || value.contains('\0')) {
        return wrong("environment", "a name has '=', or a word a NUL byte");
    }
    if matches!(spec.ready, ReadySpec::Descriptor { number: 0..=2 }) {
        return wrong("ready", "descriptors 0 to 2 are stdin, stdout and stderr");
    }
    if matches!(&spec.ready, ReadySpec::Probe { ask, .. } if ask.is_empty()) {
        return wrong("ready", "a probe asks something");
    }
    if spec.user == Some(0)
        || spec.user.is_some_and(|user| Group::ALL.iter().any(|group| group.number() == user))
    {
        return wrong("user", "is root's number, or a group's");
    }
    if !spec.directories.keys().all(|path| is_directory_path(path)) {
        return wrong(
            "directories",
            "each is an absolute path below /run, /state, /var or /sys, without . and ..",
        );
    }
    if is_task && spec.liveness.is_some() {
        return wrong("liveness", "a task ends by itself");
    }
    if spec.restart.attempts.is_some() && !is_task {
        return wrong("restart", "only a task is given up after some attempts");
    }
    if spec.sandbox.privileged
        && (Sandbox { privileged: false, ..spec.sandbox.clone() }) != Sandbox::default()
    {
        return wrong("sandbox", "privileged means no fence, so the other fields say nothing");
    }
    let has = |calls: &SystemCalls| spec.sandbox.capabilities.contains(&calls.capability());
    if !spec.sandbox.system_calls.iter().all(has) {
        return wrong("sandbox", "without their capability its system-calls are refused all the same");
    }
    if spec.limits.io_max == Some(IoMax::default()) {
        return wrong("limits", "an io-max says what it limits");
    }
    Ok(())
}

/// Everything after what it needs; what is free to choose, by name.
fn order<'a>(
    by_name: &BTreeMap<&'a ServiceName, &'a ServiceSpec>,
) -> Result<Vec<&'a ServiceSpec>, LayoutError> {
    let mut done: Vec<&ServiceSpec> = Vec::new();
    let mut left: BTreeMap<&ServiceName, &ServiceSpec> = by_name.clone();
    while !left.is_empty() {
        let free: Vec<&ServiceSpec> = left
            .values()
            .filter(|spec| needs(spec).all(|(edge, _)| !left.contains_key(&edge.service)))
            .copied()
            .collect();
        if free.is_empty() {
            return Err(LayoutError::Cycle(cycle(&left)));
        }
        for spec in free {
            left.remove(&spec.name);
            done.push(spec);
        }
    }
    Ok(done)
}

/// One cycle among `left`, in words: follow needs until a name comes again.
fn cycle(left: &BTreeMap<&ServiceName, &ServiceSpec>) -> String {
    let mut path: Vec<(&ServiceName, &'static str)> = Vec::new();
    let mut at = left.values().next().copied();
    while let Some(spec) = at {
        if let Some(start) = path.iter().position(|(name, _)| **name == spec.name) {
            let words = path.iter().skip(start).map(|(name, how)| format!("{name} {how} "));
            return words.chain([spec.name.to_string()]).collect();
        }
        let next = needs(spec).find(|(edge, _)| left.contains_key(&edge.service));
        path.push((&spec.name, next.map_or("", |(_, how)| how)));
        at = next.and_then(|(edge, _)| left.get(&edge.service)).copied();
    }
    path.iter().map(|(name, how)| format!("{name} {how} ")).collect()
}

/// Its own, and what nobody goes without whose processes are not others' work.
fn limits(spec: &ServiceSpec) -> Limits {
    let pids_max = spec.limits.pids_max.or((!spec.sandbox.privileged).then_some(PIDS_MAX));
    Limits { pids_max, ..spec.limits.clone() }
}

fn unit(spec: &ServiceSpec, place: &BTreeMap<&ServiceName, Place>) -> Unit {
    let edge = |edge: &EdgeSpec, kind| {
        place.get(&edge.service).map(|to| Edge { to: *to, kind, on_loss: edge.on_loss })
    };
    let wanted =
        |want: &EdgeSpec| edge(want, EdgeKind::Wants { within: want.within.unwrap_or(WANTED_WITHIN) });
    let edges = spec.requires.iter().filter_map(|need| edge(need, EdgeKind::Requires));
    let edges = edges.chain(spec.milestones.iter().filter_map(|need| edge(need, EdgeKind::Milestone)));
    let edges = edges.chain(spec.wants.iter().filter_map(wanted));
    let edges = edges.chain(spec.after.iter().filter_map(|need| edge(need, EdgeKind::After))).collect();
    let longest_pause = match spec.class {
        Class::Ordinary => LONGEST_PAUSE_ORDINARY,
        Class::Critical | Class::Node => LONGEST_PAUSE_CRITICAL,
    };
    Unit {
        name: spec.name.clone(),
        description: spec.description.clone(),
        exec: spec.exec.clone(),
        configured: spec.configured,
        environment: spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        edges,
        start: spec.start,
        milestone: spec.milestone,
        until_end: spec.until_end,
        class: spec.class,
        ready: match &spec.ready {
            ReadySpec::Exit {} => Ready::Exit,
            ReadySpec::Exec {} => Ready::Exec,
            ReadySpec::Notify {} => Ready::Notify,
            ReadySpec::Descriptor { number } => Ready::Descriptor(*number),
            ReadySpec::Probe { ask, every } => Ready::Probe { ask: ask.clone(), every: *every },
        },
        start_timeout: match spec.start_timeout {
            StartTimeout::After(span) => Some(span),
            StartTimeout::Never(NoTimeout::None) => None,
        },
        liveness: spec.liveness.as_ref().map(|live| Liveness {
            ask: live.ask.clone(),
            every: live.every,
            failures: live.failures,
        }),
        reload: spec.reload.as_ref().map(|reload| match reload {
            ReloadSpec::Signal { signal } => Reload::Signal(*signal),
            ReloadSpec::Command { command } => Reload::Command(command.clone()),
        }),
        pause: spec.restart.pause,
        longest_pause: spec.restart.longest_pause.unwrap_or(longest_pause),
        permanent_exits: spec.restart.permanent_exits.iter().copied().collect(),
        attempts: spec.restart.attempts,
        exit: spec.restart.exit,
        before_start: spec.before_start.clone(),
        after_stop: spec.after_stop.clone(),
        stop_signal: spec.stop.signal,
        stop_timeout: spec.stop.timeout,
        kill: spec.stop.kill,
        signals: spec.signals.iter().copied().collect(),
        user: spec.user,
        groups: spec.groups.iter().copied().collect(),
        directories: spec.directories.iter().map(|(path, mode)| (path.clone(), *mode)).collect(),
        oom_score_adjust: spec.oom_score_adjust,
        oom_policy: spec.oom_policy,
        limits: limits(spec),
        sandbox: spec.sandbox.clone(),
        log: spec.log.clone(),
    }
}
