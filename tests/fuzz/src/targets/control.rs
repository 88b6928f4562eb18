//! Packets of PID 1's control socket, both ways, and orders carried out on a table.
//!
//! What decodes is encoded and decoded again as it was; nothing may stand behind a message; an order
//! from anywhere never takes PID 1 down, and what follows from it is on record.

use init::control::message::{Answer, Ending, Finding, Order, Own, Request, ServiceView, Stamps, StateName};
use machine_config::service::StopSignal;

use crate::input::Input;
use crate::world::{World, small_table};

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let answers = input.below(2) == 1;
    let packet = input.rest();
    if answers {
        let Ok(answer) = Answer::decode(packet) else { return };
        let Ok(again) = answer.encode() else { return };
        assert_eq!(Answer::decode(&again), Ok(answer));
        return;
    }
    let Ok(request) = Request::decode(packet) else { return };
    let again = request.encode().expect("a request that came in a packet fits in one");
    assert!(again.len() <= packet.len());
    assert_eq!(Request::decode(&again).as_ref(), Ok(&request));
    let mut world = World::new(small_table());
    match request {
        Request::Do(order) => world.order(&order),
        Request::Explain(name) => _ = world.services.place(&name).map(|place| world.services.explain(place)),
        Request::Events { since, most } => {
            let events = world.services.events(since, usize::from(most));
            assert!(events.len() <= usize::from(most));
        }
        _ => {}
    }
    world.check();
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let name = || "b".to_owned();
    let requests = [
        Request::Services,
        Request::Explain(name()),
        Request::Events { since: 1, most: 7 },
        Request::Own,
        Request::LogPipes,
        Request::Probing,
        Request::Probed { question: 3, finding: Finding::Good },
        Request::Do(Order::Start(name())),
        Request::Do(Order::Stop { service: name(), cascade: true }),
        Request::Do(Order::Restart { service: name(), cascade: false }),
        Request::Do(Order::Signal { service: name(), signal: StopSignal::Hup }),
        Request::Do(Order::Hold(name())),
        Request::Do(Order::Shutdown { ending: Ending::Reboot, reason: "x".to_owned(), now: false }),
    ];
    let view = ServiceView {
        name: name(),
        description: "x".to_owned(),
        wanted: true,
        state: StateName::Ready,
        since: 7,
        pid: Some(70),
        starts: 1,
        failures: 0,
        held: false,
        last_end: Some("exited with 1".to_owned()),
        status: None,
        stamps: Stamps::default(),
        alarm: None,
        degrades_node: false,
        milestone: true,
        could_not_ask: 0,
    };
    let answers = [
        Answer::Services(vec![view]),
        Answer::Explained(vec!["b is ready".to_owned()]),
        Answer::Own(Own::default()),
        Answer::Accepted { changes: true, next_event: 9 },
        Answer::Refused("no".to_owned()),
    ];
    let packet = |kind: u8, bytes: Vec<u8>| [vec![kind], bytes].concat();
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    seeds.extend(requests.iter().map(|request| packet(0, request.encode().unwrap())));
    seeds.extend(answers.iter().map(|answer| packet(1, answer.encode().unwrap())));
    seeds
}
