//! What a machine answers, as `slipway` reads it: documents, and the lines of streams.
//!
//! A hostile machine may send anything. What is decoded is encoded and decoded again as it was. Floats
//! may lose their last digit on the first way, so the second and the third are compared.

use std::fmt::Debug;

use node_api::reply::{
    Accepted, Alarm, Boot, BootMark, Config, Disk, Disks, ErrorCode, ErrorReply, Event, Explanation, Lease,
    Link, LogLine, Memory, Mount, Mounts, Network, Partition, Pressure, Process, Processes, Route, Service,
    ServiceBoot, Services, Stage, Stamps, State, Status, Usage, Version,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::input::Input;

/// A document's own reader, and its examples.
type Reader = fn(&[u8]);

macro_rules! readers {
    ($($kind:ty),*) => { [$(document::<$kind> as Reader),*] };
}

/// In this order they are numbered by an input's first byte.
const READERS: [Reader; 16] = readers![
    Version,
    Status,
    Services,
    Service,
    Explanation,
    Accepted,
    LogLine,
    Event,
    Processes,
    Mounts,
    Disks,
    Network,
    Boot,
    Config,
    ErrorReply,
    Lease
];

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let reader = READERS[input.below(READERS.len())];
    reader(input.rest());
}

fn document<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(found) = serde_json::from_slice::<T>(bytes) else { return };
    let read = |text: &str| serde_json::from_str::<T>(text).expect("what was written can be read");
    let again = read(&serde_json::to_string(&found).unwrap());
    let text = serde_json::to_string(&again).unwrap();
    assert!(!text.contains('\n'), "a document of two lines");
    assert_eq!(serde_json::to_string(&read(&text)).unwrap(), text);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let text = || "x".to_owned();
    let stamps = Stamps { wanted_ms: Some(1), met_ms: Some(2), started_ms: Some(3), ..Stamps::default() };
    let usage = Usage { cpu_us: 5, memory_bytes: 6, memory_peak_bytes: Some(7), ..Usage::default() };
    let service = Service {
        name: text(),
        description: text(),
        wanted: true,
        held: false,
        milestone: true,
        state: State::Backoff,
        since_ms: 4,
        pid: Some(9),
        starts: 2,
        failures: 1,
        could_not_ask: 0,
        last_end: Some(text()),
        status: Some(text()),
        alarm: Some(text()),
        degrades_node: true,
        stamps,
        usage: Some(usage),
    };
    let lease = Lease {
        address: "10.77.0.11/24".to_owned(),
        server: Some(text()),
        gateway: Some(text()),
        obtained: Some(text()),
        lifetime_seconds: Some(3600),
    };
    let status = Status {
        machine: text(),
        role: text(),
        stage: Stage::Up,
        time: "2026-11-21T12:00:00Z".to_owned(),
        uptime_ms: 7,
        up_ms: Some(6),
        services_wanted: 3,
        services_good: 2,
        waiting_for: vec![text()],
        alarms: vec![Alarm { service: text(), text: text() }],
        degraded_by: vec![text()],
        memory: Memory { total_bytes: 9, available_bytes: 4 },
        load: [0.25, 1.5, 1e9],
        pressure: vec![Pressure {
            resource: text(),
            some_percent: 0.12,
            full_percent: 0.0,
            some_us: 1,
            full_us: 0,
        }],
        config_serial: Some(3),
        next_event: 44,
    };
    let version = Version {
        api: "v1".to_owned(),
        slipway: text(),
        kernel: text(),
        role: text(),
        built: Some(text()),
        machine: None,
        cluster: None,
    };
    let line = LogLine {
        service: text(),
        time: text(),
        at_ms: 1,
        boot: "0".repeat(32),
        number: 1,
        text: "\u{1b}[31m".to_owned(),
        cut: true,
        continued: false,
        dropped: 2,
    };
    let event = Event {
        number: 1,
        at_ms: 2,
        time: text(),
        service: Some(text()),
        from: Some(State::Off),
        to: Some(State::Waiting),
        cause: text(),
    };
    let process = Process {
        pid: 1,
        parent: 0,
        user: 0,
        state: "S".to_owned(),
        service: Some(text()),
        threads: 1,
        resident_bytes: 9,
        cpu_ms: 1,
        started_ms: 0,
        name: text(),
        command: text(),
    };
    let mount = Mount {
        source: text(),
        target: text(),
        kind: text(),
        options: text(),
        size_bytes: Some(1),
        available_bytes: Some(0),
    };
    let part = Partition { name: text(), label: Some(text()), start_bytes: 1, size_bytes: 2 };
    let disk = Disk {
        name: text(),
        size_bytes: 1,
        read_only: false,
        model: Some(text()),
        holders: vec![text()],
        partitions: vec![part],
        read_bytes: 1,
        written_bytes: 2,
    };
    let link = Link {
        name: text(),
        index: 1,
        mac: Some(text()),
        state: text(),
        mtu: 1500,
        addresses: vec![text()],
        received_bytes: 1,
        sent_bytes: 2,
        errors: 0,
        drops: 0,
    };
    let route = Route { destination: text(), gateway: Some(text()), link: text(), metric: 0 };
    let network = Network {
        links: vec![link],
        routes: vec![route],
        resolvers: vec![text()],
        time_servers: vec![text()],
        lease: Some(lease.clone()),
    };
    let marks = vec![BootMark { name: text(), at_ms: 4 }];
    let boots = vec![ServiceBoot { name: text(), milestone: true, state: State::Done, stamps }];
    let config = Config {
        machine: text(),
        cluster: text(),
        role: text(),
        serial: 1,
        source: text(),
        issued: text(),
        expires: text(),
        text: text(),
    };
    let refusal = ErrorReply { error: ErrorCode::Refused, message: text(), needs: None };
    let documents = [
        json(&version),
        json(&status),
        json(&Services { services: vec![service.clone()] }),
        json(&service),
        json(&Explanation { service: text(), lines: vec![text()] }),
        json(&Accepted { changes: true, next_event: 7 }),
        json(&line),
        json(&event),
        json(&Processes { processes: vec![process] }),
        json(&Mounts { mounts: vec![mount] }),
        json(&Disks { disks: vec![disk] }),
        json(&network),
        json(&Boot { id: text(), began: text(), marks, services: boots, critical_chain: vec![text()] }),
        json(&config),
        json(&refusal),
        json(&lease),
    ];
    (0_u8..).zip(documents).map(|(kind, text)| [vec![kind], text].concat()).collect()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}
