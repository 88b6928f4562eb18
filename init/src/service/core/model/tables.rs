//! Random tables of services, and small ones written down by tests.
//!
//! Every field that the core reads varies. Needs point to earlier places only, as `layout`
//! lays tables out, and `layout`'s other rules hold as well.

use machine_config::service::{
    Class, Edge, EdgeKind, ExitRule, KillScope, Liveness, OnLoss, OomPolicy, Place, Ready, Reload,
    ServiceSpec, Span, Start, StopSignal, Table, Unit, layout,
};

/// What a number says, digit by digit.
pub struct Digits(pub u64);

impl Digits {
    /// The next digit, below `base`.
    pub fn take(&mut self, base: u64) -> u64 {
        let digit = self.0 % base;
        self.0 /= base;
        digit
    }
}

/// The most edges of a random unit.
const EDGES: u64 = 3;

/// A table of specs: a name and the TOML that comes after it.
pub fn table(specs: &[(&str, &str)]) -> Table {
    let specs: Vec<ServiceSpec> = specs
        .iter()
        .map(|(name, rest)| {
            let ready = if rest.contains("ready =") { "" } else { "ready = { by = \"notify\" }\n" };
            let text = format!("name = {name:?}\ndescription = \"x\"\nexec = [\"/bin/x\"]\n{ready}{rest}");
            toml::from_str(&text).unwrap()
        })
        .collect();
    layout(&specs).unwrap()
}

/// A random table: two numbers per unit.
pub fn random(seeds: &[(u64, u64)]) -> Table {
    let plain = table(&[("s", "")]).units.remove(0);
    let mut units: Vec<Unit> = Vec::new();
    for (at, (fields, edges)) in seeds.iter().enumerate() {
        let mut unit = unit(&plain, at, &mut Digits(*fields));
        unit.edges = random_edges(at, unit.start, &units, &mut Digits(*edges));
        units.push(unit);
    }
    Table { units }
}

fn unit(plain: &Unit, at: usize, digits: &mut Digits) -> Unit {
    let words = || vec!["tcp".to_owned(), "127.0.0.1:1".to_owned()];
    let ready = match digits.take(6) {
        0 => Ready::Exit,
        1 => Ready::Exec,
        2 | 3 => Ready::Notify,
        4 => Ready::Descriptor(3),
        _ => Ready::Probe { ask: words(), every: Span::from_secs(5) },
    };
    let is_task = ready == Ready::Exit;
    let start = match digits.take(5) {
        0 => Start::OnDemand,
        1 => Start::WhenUp,
        _ => Start::WhileBooting,
    };
    let ask = if digits.take(2) == 0 { None } else { Some(words()) };
    let liveness = Liveness { ask, every: Span::from_secs(10), failures: 3 };
    let steps = |count: u64| vec![vec!["/bin/step".to_owned()]; usize::try_from(count).unwrap()];
    Unit {
        name: format!("s{at}").parse().unwrap(),
        ready,
        start,
        milestone: start == Start::WhileBooting && digits.take(2) == 0,
        class: [Class::Ordinary, Class::Critical, Class::Node][usize::try_from(digits.take(3)).unwrap()],
        start_timeout: (digits.take(3) > 0).then_some(Span::from_secs(20)),
        liveness: (!is_task && digits.take(2) == 0).then_some(liveness),
        reload: match digits.take(3) {
            0 => None,
            1 => Some(Reload::Signal(StopSignal::Hup)),
            _ => Some(Reload::Command(vec!["/bin/reload".to_owned()])),
        },
        attempts: (is_task && digits.take(2) == 0).then_some(3),
        exit: if digits.take(4) == 0 { ExitRule::Last } else { ExitRule::Main },
        before_start: steps(digits.take(3)),
        after_stop: steps(digits.take(3)),
        stop_timeout: Span::from_secs(3),
        kill: if digits.take(3) == 0 { KillScope::Process } else { KillScope::Cgroup },
        signals: vec![StopSignal::Hup],
        oom_policy: [OomPolicy::Kill, OomPolicy::Stop, OomPolicy::Continue]
            [usize::try_from(digits.take(3)).unwrap()],
        longest_pause: Span::from_secs(60),
        until_end: digits.take(5) == 0,
        ..plain.clone()
    }
}

fn random_edges(at: usize, start: Start, earlier: &[Unit], digits: &mut Digits) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for _ in 0..digits.take(EDGES + 1) {
        let need = usize::try_from(digits.take(12)).unwrap() % at.max(1);
        let kind = match digits.take(4) {
            0 => EdgeKind::Requires,
            1 => EdgeKind::Milestone,
            2 => EdgeKind::Wants { within: Span::from_secs(7) },
            _ => EdgeKind::After,
        };
        let on_loss = match digits.take(4) {
            0 => OnLoss::Stop,
            1 => OnLoss::Restart,
            _ => OnLoss::Keep,
        };
        let Some(unit) = earlier.get(need) else { continue };
        let late = unit.start == Start::WhenUp && start != Start::WhenUp;
        let kind = if late { EdgeKind::After } else { kind };
        let to = Place(u16::try_from(need).unwrap());
        if !edges.iter().any(|edge| edge.to == to) {
            edges.push(Edge { to, kind, on_loss });
        }
    }
    edges
}
