//! Everything at once, for as long as one likes: what is left of it afterwards is nothing.
//!
//! Forty services, killed, stopped, restarted and reloaded at random; storms of lines; clients of the
//! node API and rubbish on PID 1's socket; logd, probed and apid killed; PID 1 replaced. Half a minute in
//! every run, `cargo xtask soak` has it go on for longer (`SLIPWAY_SOAK_SECONDS`).

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use init::control::message::{Answer, Order, Request, StateName};
use init::control::{CONTROL, client};
use node_sys::packet::Connection;

use crate::api::Api;
use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::inside::{report, said};
use crate::{Scenario, look, meddle, scenarios};

/// How long it goes on unless somebody says otherwise.
const SECONDS: u64 = 30;
/// What says otherwise, in the environment outside and on the kernel's command line inside.
const SAYS: &str = "SLIPWAY_SOAK_SECONDS";
/// What PID 1 may take more in the end than when its record was full for the first time.
const GROWTH_MAX_KIB: u64 = 256;

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![a_long_storm_of_everything_leaves_nothing_behind]
}

fn a_long_storm_of_everything_leaves_nothing_behind(boot: &Boot) {
    let seconds = std::env::var(SAYS).ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let setup = Setup {
        services: services(),
        ours: &["logd", "probed"],
        memory_mib: 512,
        // For ever, as tests go.
        cmdline: Box::leak(format!("{SAYS}={seconds}").into_boxed_str()),
        within: Duration::from_secs(seconds * 2 + 240),
        ..Setup::default()
    };
    boot.machine_with(setup, |pid1| {
        Soak::begin(pid1).run(Duration::from_secs(said(SAYS).unwrap().parse().unwrap()));
    });
}

/// Forty services, and apid without the rest of a machine.
fn services() -> String {
    let mut text = String::new();
    let mut add = |name: &str, words: &str, more: &str| {
        text.push_str(&format!(
            "[[service]]\nname = \"{name}\"\nexec = [\"/usr/bin/actor\", {words}]\nready = {{ by = \"notify\" }}\n\
             restart = {{ pause = \"20ms\", longest-pause = \"200ms\" }}\nmilestone = false\n{more}\n"
        ));
    };
    for n in 0..20 {
        let reload = "reload = { by = \"command\", command = [\"/usr/bin/actor\"] }";
        add(&format!("worker-{n}"), "\"ready\", \"stay\"", reload);
    }
    for n in 0..10 {
        add(&format!("talker-{n}"), "\"ready\", \"talk=1000000000:2\"", "");
    }
    for n in 0..5 {
        let needs = format!("requires = [{{ service = \"worker-{n}\", on-loss = \"restart\" }}]");
        add(&format!("follower-{n}"), "\"ready\", \"stay\"", &needs);
    }
    for n in 0..5 {
        add(&format!("parent-{n}"), "\"session=stay\", \"orphan=stay\", \"ready\", \"stay\"", "");
    }
    text + "[[service]]\nname = \"apid\"\nexec = [\"/usr/sbin/init\", \"apid\"]\nready = { by = \"notify\" }\n\
            user = 901\nstart = \"on-demand\"\nmilestone = false\n\
            restart = { pause = \"20ms\", longest-pause = \"200ms\" }\n"
}

struct Soak<'a> {
    pid1: &'a Pid1,
    api: Api,
    chance: u64,
    names: Vec<String>,
    done: BTreeMap<&'static str, u64>,
}

/// What must not grow.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    descriptors: usize,
    groups: usize,
}

impl<'a> Soak<'a> {
    fn begin(pid1: &'a Pid1) -> Self {
        let api = Api::prepare();
        pid1.start("apid");
        let services = pid1.services();
        let names = services.into_iter().map(|service| service.name).filter(|name| name != "scenario");
        let soak =
            Self { pid1, api, chance: 0x9e37_79b9_7f4a_7c15, names: names.collect(), done: BTreeMap::new() };
        soak.all_ready();
        soak
    }

    fn run(mut self, time: Duration) {
        let began = Instant::now();
        // From a full record on, there is nothing left that may grow.
        while began.elapsed() < time / 3 || !self.record_is_full() {
            self.something();
        }
        let (before, pss) = (self.rest(), pss());
        let began_again = Instant::now();
        while began_again.elapsed() < time {
            self.something();
        }
        let after = self.rest();
        let own = self.pid1.own();
        let took = began.elapsed().as_secs();
        report(&format!("{took} s: {:?}", self.done));
        report(&format!(
            "memory {pss} KiB, then {} KiB; {after:?}; longest turn {} us; {} replacements; {} reaped",
            self::pss(),
            own.longest_turn_us,
            own.reexecs,
            own.reaped
        ));
        assert_eq!(after, before, "descriptors and groups");
        assert!(self::pss() <= pss + GROWTH_MAX_KIB, "its memory grew from {pss} to {} KiB", self::pss());
        assert_eq!(own.recoveries, 0, "faults");
        self.record_tells_the_states();
    }

    fn record_is_full(&self) -> bool {
        match self.pid1.ask(&Request::Events { since: 0, most: 1 }) {
            Answer::Events { oldest, .. } => oldest > 1,
            other => panic!("{other:?}"),
        }
    }

    /// Lets everything come up and be still; what there is then, in a PID 1 that has just begun: what it
    /// opens only when somebody asks would make a difference.
    fn rest(&self) -> Left {
        self.all_ready();
        until("PID 1 replaces itself", PATIENCE, || {
            matches!(self.pid1.ask(&Request::Do(Order::Reexec)), Answer::Accepted { .. }).then_some(())
        });
        until("nobody is left unreaped", PATIENCE, || look::zombies().is_empty().then_some(()));
        // Nothing is in flight: two looks that agree.
        let look = || Left { descriptors: look::descriptors(), groups: look::groups() };
        until("PID 1 holds the same twice", PATIENCE, || {
            let first = look();
            std::thread::sleep(Duration::from_millis(500));
            (look() == first).then_some(first)
        })
    }

    fn all_ready(&self) {
        // Whoever needs one that was stopped was stopped with it.
        for name in &self.names {
            self.pid1.start(name);
        }
        for name in &self.names {
            self.pid1.until_within(name, StateName::Ready, PATIENCE * 4);
        }
    }

    /// The states that the record gives, for as long as it goes back.
    fn record_tells_the_states(&self) {
        let events = self.pid1.events(0);
        let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a gap in the record");
        let mut told = BTreeMap::new();
        for event in &events {
            if let (Some(service), Some((_, to))) = (&event.service, event.change) {
                told.insert(service.clone(), to);
            }
        }
        for service in self.pid1.services() {
            if let Some(to) = told.get(&service.name) {
                assert_eq!(*to, service.state, "{}", service.name);
            }
        }
        assert!(told.len() > 30, "{} services in the record", told.len());
    }

    fn random(&mut self, below: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        usize::try_from(self.chance % below as u64).unwrap()
    }

    fn something(&mut self) {
        let at = self.random(self.names.len());
        let name = self.names[at].clone();
        let helper = ["logd", "probed", "apid"][self.random(3)];
        let what = match self.random(40) {
            0..16 => self.kill(&name),
            16..20 => self.ordered("stop", Order::Stop { service: name.clone(), cascade: true }, &name),
            20..24 => {
                self.ordered("restart", Order::Restart { service: name.clone(), cascade: false }, &name)
            }
            24..30 => {
                let worker = format!("worker-{}", self.random(20));
                self.ordered("reload", Order::Reload(worker.clone()), &worker)
            }
            30 => self.kill(helper),
            31..36 => self.api.ask(),
            36..39 => rubbish(),
            _ => self.ordered("replace", Order::Reexec, &name),
        };
        *self.done.entry(what).or_default() += 1;
        let pause = self.random(20);
        std::thread::sleep(Duration::from_millis(u64::try_from(pause).unwrap()));
    }

    fn kill(&self, name: &str) -> &'static str {
        match self.pid1.service(name).pid {
            // It may be gone by now, but its number is not given to anybody else so soon.
            Some(pid) => match meddle::try_kill(pid) {
                Ok(()) => "kill",
                Err(_) => "gone before the kill",
            },
            None => "nobody to kill",
        }
    }

    /// Gives an order, which may be refused for what else is going on; whoever was stopped is started again.
    fn ordered(&self, what: &'static str, order: Order, name: &str) -> &'static str {
        let outcome = match self.pid1.ask(&Request::Do(order)) {
            Answer::Accepted { .. } => what,
            Answer::Refused(_) => "refused",
            other => panic!("{other:?}"),
        };
        if what == "stop" {
            let again = Request::Do(Order::Start(name.to_owned()));
            until("a stopped service may be started", PATIENCE, || {
                matches!(self.pid1.ask(&again), Answer::Accepted { .. }).then_some(())
            });
        }
        outcome
    }
}

/// A client that says nothing of sense, and one that hangs up in the middle.
fn rubbish() -> &'static str {
    let connection = Connection::connect(std::path::Path::new(CONTROL)).unwrap();
    connection.send(&[0xff; 100], &[]).unwrap();
    drop(connection);
    // The next one is answered.
    assert!(client::ask(std::path::Path::new(CONTROL), &Request::Own).is_ok());
    "rubbish"
}

/// What PID 1 takes of memory that is nobody else's, in KiB: its program's pages come and go as they are needed.
fn pss() -> u64 {
    let text = fs::read_to_string("/proc/1/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
