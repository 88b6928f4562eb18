//! What the dashboard shows, on a screen that is only memory, and what keys do.
//!
//! Asking machines is tested where it is done.

use std::sync::Arc;

use node_api::reply::{Event, LogLine, Memory, Service, Stage, Stamps, State as ServiceState, Status};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use rustls::{ClientConfig, RootCertStore};

use super::state::{Key, News, State};
use super::view;
use crate::node::{Machine, Target};

fn state() -> State {
    let machine = |name: &str, role: &str| Machine {
        name: name.to_owned(),
        role: role.to_owned(),
        at: "127.0.0.1:1".parse().unwrap(),
    };
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let target = Target {
        cluster: "demo".to_owned(),
        machines: vec![machine("cp1", "control-plane"), machine("w1", "worker")],
        tls: Arc::new(tls),
    };
    let mut state = State::new(&target);
    let status = Status {
        machine: "cp1".to_owned(),
        role: "control-plane".to_owned(),
        stage: Stage::Up,
        time: String::new(),
        uptime_ms: 61_000,
        up_ms: Some(9000),
        services_wanted: 2,
        services_good: 1,
        waiting_for: vec!["kubelet".to_owned()],
        alarms: Vec::new(),
        degraded_by: Vec::new(),
        memory: Memory::default(),
        load: [0.5, 0.0, 0.0],
        pressure: Vec::new(),
        config_serial: Some(1),
        next_event: 2,
    };
    state.take(News::Status("cp1".to_owned(), Ok(Box::new(status))));
    state.take(News::Status("w1".to_owned(), Err("no answer within 5 s".to_owned())));
    let service = |name: &str, state| Service {
        name: name.to_owned(),
        description: String::new(),
        wanted: true,
        held: false,
        milestone: true,
        state,
        since_ms: 0,
        pid: None,
        starts: 1,
        failures: 0,
        could_not_ask: 0,
        last_end: None,
        status: None,
        alarm: None,
        degrades_node: false,
        stamps: Stamps::default(),
        usage: None,
    };
    let services =
        vec![service("containerd", ServiceState::Ready), service("kubelet", ServiceState::Backoff)];
    state.take(News::Services("cp1".to_owned(), services));
    state.take(News::Log(
        "cp1".to_owned(),
        Box::new(LogLine {
            service: "kubelet".to_owned(),
            time: "2026-11-21T12:00:00Z".to_owned(),
            at_ms: 1,
            boot: String::new(),
            number: 1,
            text: "a line of \x1b[31mits log".to_owned(),
            cut: false,
            continued: false,
            dropped: 0,
        }),
    ));
    state.take(News::Event(
        "cp1".to_owned(),
        Box::new(Event {
            number: 1,
            at_ms: 1,
            time: "2026-11-21T12:00:00Z".to_owned(),
            service: Some("kubelet".to_owned()),
            from: Some(ServiceState::Starting),
            to: Some(ServiceState::Backoff),
            cause: "it exited with 1".to_owned(),
        }),
    ));
    state
}

fn screen(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(state, frame)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn machines_services_logs_and_events_are_on_one_screen() {
    let text = screen(&state(), 160, 30);
    for part in [
        "cluster demo",
        "1 min 1 s",
        "waiting for kubelet",
        "no answer within 5 s",
        "services of cp1",
        "backoff",
        "its log",
        "starting → backoff",
        "q quit",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains('\x1b'), "what a machine says does not move the cursor");
}

#[test]
fn keys_choose_machines_and_services_and_end_it() {
    let mut state = state();
    state.take(News::Key(Key::Down));
    state.take(News::Key(Key::Down));
    assert_eq!(state.service, 1, "there are two");
    state.take(News::Key(Key::Next));
    assert_eq!((state.machine, state.service), (1, 0), "of that machine nothing is known");
    assert!(screen(&state, 160, 30).contains("services of w1"));
    state.take(News::Key(Key::Next));
    assert_eq!(state.machine, 0);
    assert!(!state.is_over());
    state.take(News::Key(Key::Quit));
    assert!(state.is_over());
}

#[test]
fn a_screen_too_small_shows_less_and_does_not_fail() {
    for (width, height) in [(1, 1), (10, 3), (40, 10)] {
        screen(&state(), width, height);
    }
}
