//! The promises of the node API, kept by the real server over real TLS on loopback.
//!
//! PID 1 and the logs are doubles; certificates are made as a cluster's are. Each test has a server of its own, on a
//! port that the kernel chooses.

mod bench;

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use node_api::Role;
use node_api::limits::{
    BODY_BYTES_MAX, CONNECTIONS_PER_ADDRESS_MAX, FOLLOWERS_PER_CLIENT_MAX, STRANGERS_PER_ADDRESS_MAX,
};
use node_api::reply::{Accepted, ErrorCode, ErrorReply, Event, LogLine, Services, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::control::message::{Ending, Order, Request};
use bench::{Bench, Protocol, Shown};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_reader_sees_services_over_either_protocol() {
    let bench = Bench::start().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut client = bench.client(Shown::Role(Role::Reader), protocol).await.unwrap();
        let services: Services = client.get("/v1/services").await.unwrap();
        assert_eq!(services.services[0].name, "kubelet");
        let status: Status = client.get("/v1/status").await.unwrap();
        assert_eq!((status.services_wanted, status.services_good), (1, 1));
    }
}

#[tokio::test]
async fn a_reader_that_calls_reboot_is_told_who_may_and_nothing_happens() {
    let bench = Bench::start().await;
    for (role, path, needs) in [
        (Role::Reader, "/v1/reboot", Role::Admin),
        (Role::Operator, "/v1/shutdown", Role::Admin),
        (Role::Reader, "/v1/services/kubelet/stop", Role::Operator),
    ] {
        let mut client = bench.client(Shown::Role(role), Protocol::Http2).await.unwrap();
        let (status, reply) = client.post::<ErrorReply>(path, "").await.unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!((reply.error, reply.needs), (ErrorCode::Forbidden, Some(needs)));
        assert!(reply.message.contains(needs.as_str()), "{}", reply.message);
    }
    assert_eq!(bench.pid1.orders(), []);
}

#[tokio::test]
async fn a_certificate_without_a_role_may_nothing() {
    let bench = Bench::start().await;
    for shown in [Shown::NoRole, Shown::Organization("system:masters")] {
        let mut client = bench.client(shown, Protocol::Http1).await.unwrap();
        let (status, reply) = client.ask::<ErrorReply>("GET", "/v1/status", "").await.unwrap();
        assert_eq!((status, reply.needs), (StatusCode::FORBIDDEN, Some(Role::Reader)));
    }
}

#[tokio::test]
async fn what_an_admin_orders_reaches_pid1_with_its_name() {
    let bench = Bench::start().await;
    let mut client = bench.client(Shown::Role(Role::Admin), Protocol::Http2).await.unwrap();
    let (status, accepted) =
        client.post::<Accepted>("/v1/services/kubelet/stop", r#"{"cascade":true}"#).await.unwrap();
    assert_eq!((status, accepted.changes), (StatusCode::OK, true));
    client.post::<Accepted>("/v1/reboot", r#"{"reason":"new\nkernel"}"#).await.unwrap();
    client.post::<Accepted>("/v1/shutdown", r#"{"now":true}"#).await.unwrap();
    assert_eq!(
        bench.pid1.orders(),
        [
            Order::Stop { service: "kubelet".to_owned(), cascade: true },
            Order::Shutdown {
                ending: Ending::Reboot,
                reason: "ann wants it: new kernel".to_owned(),
                now: false
            },
            Order::Shutdown { ending: Ending::PowerOff, reason: "ann wants it".to_owned(), now: true },
        ]
    );
}

#[tokio::test]
async fn whom_the_authority_did_not_sign_is_not_let_in() {
    let bench = Bench::start().await;
    for shown in
        [Shown::Nothing, Shown::OtherAuthority(Role::Admin), Shown::Expired(Role::Admin), Shown::ServerLeaf]
    {
        let said = format!("{shown:?}");
        let outcome = match bench.client(shown, Protocol::Http1).await {
            // In TLS 1.3 the refusal comes after the client believes that it is through.
            Ok(mut client) => client.get::<Status>("/v1/status").await.map(drop),
            Err(error) => Err(error),
        };
        assert!(outcome.is_err(), "{said}");
    }
    assert_eq!(bench.pid1.questions(), 0);
}

#[tokio::test]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let bench = Bench::start().await;
    assert!(bench.client(Shown::Tls12(Role::Admin), Protocol::Http1).await.is_err());
}

#[tokio::test]
async fn what_does_not_exist_or_does_not_parse_is_refused_by_kind() {
    let bench = Bench::start().await;
    let mut client = bench.client(Shown::Role(Role::Admin), Protocol::Http1).await.unwrap();
    let long = format!("/v1/status?{}", "x".repeat(5000));
    let huge = format!(r#"{{"reason":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    for (method, path, body, code) in [
        ("GET", "/", "", ErrorCode::NotFound),
        ("GET", "/v1/services/../../etc", "", ErrorCode::NotFound),
        ("GET", "/v1/services/nobody", "", ErrorCode::NotFound),
        ("POST", "/v1/services/nobody/start", "", ErrorCode::NotFound),
        ("POST", "/v1/status", "", ErrorCode::MethodNotAllowed),
        ("GET", "/v1/reboot", "", ErrorCode::MethodNotAllowed),
        ("GET", "/v1/status?x=1", "", ErrorCode::BadRequest),
        ("GET", "/v1/logs?folow=true", "", ErrorCode::BadRequest),
        ("GET", "/v1/logs?service=../x", "", ErrorCode::BadRequest),
        ("GET", "/v1/logs?failure=first", "", ErrorCode::BadRequest),
        ("POST", "/v1/services/kubelet/stop", r#"{"cascad":true}"#, ErrorCode::BadRequest),
        ("POST", "/v1/services/kubelet/signal", "", ErrorCode::BadRequest),
        ("POST", "/v1/services/kubelet/signal", r#"{"signal":"stop"}"#, ErrorCode::BadRequest),
        ("POST", "/v1/services/kubelet/reload", "", ErrorCode::Refused),
        ("GET", long.as_str(), "", ErrorCode::TooLarge),
        ("POST", "/v1/reboot", huge.as_str(), ErrorCode::TooLarge),
    ] {
        let shown = &path[..path.len().min(40)];
        let (status, reply) = client.ask::<ErrorReply>(method, path, body).await.expect(shown);
        assert_eq!(reply.error, code, "{method} {shown}: {}", reply.message);
        assert_eq!(status.as_u16(), code.status());
        if code == ErrorCode::TooLarge {
            client = bench.client(Shown::Role(Role::Admin), Protocol::Http1).await.unwrap();
        }
    }
    assert_eq!(bench.pid1.orders(), []);
}

#[tokio::test]
async fn events_are_read_to_the_end_and_followed_from_there() {
    let bench = Bench::start().await;
    let mut client = bench.client(Shown::Role(Role::Reader), Protocol::Http2).await.unwrap();
    let all: Vec<Event> = client.lines("/v1/events").await.unwrap();
    assert_eq!(all.iter().map(|event| event.number).collect::<Vec<_>>(), (1..=600).collect::<Vec<_>>());
    let mut body = client.open("/v1/events?since=599&follow=true").await.unwrap();
    let first = timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), 2);
    bench.pid1.happen();
    let next = timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
    assert_eq!(serde_json::from_slice::<Event>(&next).unwrap().number, 601);
}

#[tokio::test]
async fn a_client_that_follows_all_it_may_leaves_room_for_others_and_gets_it_back() {
    let bench = Bench::start().await;
    let mut client = bench.client(Shown::Role(Role::Reader), Protocol::Http2).await.unwrap();
    let all: Vec<LogLine> = client.lines("/v1/logs?service=kubelet&tail=3").await.unwrap();
    assert_eq!(all.len(), 3);
    let (mut clients, mut bodies) = (Vec::new(), Vec::new());
    for n in 0..FOLLOWERS_PER_CLIENT_MAX {
        // However many connections it takes for that.
        let mut own = bench.client(Shown::Role(Role::Reader), Protocol::Http2).await.unwrap();
        let path = if n % 2 == 0 { "/v1/logs?follow=true" } else { "/v1/events?follow=true" };
        let mut body = own.open(path).await.unwrap();
        timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap();
        bodies.push(body);
        clients.push(own);
    }
    for path in ["/v1/events", "/v1/dmesg", "/v1/logs?follow=true"] {
        let (status, reply) = client.ask::<ErrorReply>("GET", path, "").await.unwrap();
        assert_eq!((status, reply.error), (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooMany), "{path}");
    }
    let mut other = bench.client(Shown::Named("bob"), Protocol::Http2).await.unwrap();
    let lines: Vec<LogLine> = other.lines("/v1/dmesg?tail=1").await.unwrap();
    assert_eq!(lines.len(), 1);
    drop(bodies);
    drop(clients);
    let since = Instant::now();
    while client.lines::<LogLine>("/v1/dmesg?tail=1").await.is_err() {
        assert!(since.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_pid1_there_is_an_answer_that_says_so() {
    let bench = Bench::start().await;
    bench.pid1.die();
    let mut client = bench.client(Shown::Role(Role::Reader), Protocol::Http1).await.unwrap();
    let (status, reply) = client.ask::<ErrorReply>("GET", "/v1/services", "").await.unwrap();
    assert_eq!((status, reply.error), (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable));
    let (status, _) = client.ask::<serde_json::Value>("GET", "/v1/processes", "").await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn prometheus_reads_the_same_port() {
    let bench = Bench::start().await;
    let mut client = bench.client(Shown::Role(Role::Reader), Protocol::Http1).await.unwrap();
    let text = client.text("/metrics").await.unwrap();
    for row in [
        "slipway_service_state{service=\"kubelet\",state=\"ready\"} 1\n",
        "slipway_log_dropped_lines_total{service=\"kubelet\",reason=\"limit\"} 2\n",
    ] {
        assert!(text.contains(row), "{text}");
    }
}

/// S45: 10 000 connections that say nothing, half a hello, or garbage; one honest client all the while.
#[tokio::test]
async fn ten_thousand_hostile_connections_slow_nobody_down() {
    let bench = Bench::start().await;
    let mut honest = bench.client(Shown::Role(Role::Reader), Protocol::Http2).await.unwrap();
    let address = bench.address;
    let attack = tokio::spawn(async move {
        let half = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
        let mut held = std::collections::VecDeque::new();
        for n in 0..10_000u32 {
            let Ok(mut stream) = TcpStream::connect(address).await else { continue };
            let _ = match n % 4 {
                0 => Ok(()),
                1 => stream.write_all(&half).await,
                2 => stream.write_all(b"GET / HTTP/1.1\r\n").await,
                _ => stream.write_all(&[0xff; 3000]).await,
            };
            // As many as this process may have open.
            held.push_back(stream);
            if held.len() > 400 {
                held.pop_front();
            }
        }
    });
    let (mut worst, mut asked, mut entered) = (Duration::ZERO, 0, 0);
    while !attack.is_finished() {
        let begun = Instant::now();
        honest.get::<Status>("/v1/status").await.unwrap();
        worst = worst.max(begun.elapsed());
        asked += 1;
        // Somebody new gets in, too, if not at the first try.
        if asked % 10 == 0 {
            let begun = Instant::now();
            while bench.client(Shown::Role(Role::Reader), Protocol::Http1).await.is_err() {
                assert!(begun.elapsed() < SOON, "nobody gets in");
            }
            entered += 1;
        }
    }
    attack.await.unwrap();
    assert!(asked > 10 && entered > 0, "{asked} asked, {entered} entered");
    assert!(worst < Duration::from_secs(2), "the slowest answer took {worst:?}");
    // What is left are the strangers that one address may have, until their time is over.
    const { assert!(STRANGERS_PER_ADDRESS_MAX < CONNECTIONS_PER_ADDRESS_MAX) };
}

#[tokio::test]
async fn a_client_that_takes_too_many_connections_takes_none_from_others() {
    let bench = Bench::start().await;
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..CONNECTIONS_PER_ADDRESS_MAX + 8 {
        let Ok(mut client) = bench.client(Shown::Role(Role::Reader), Protocol::Http1).await else {
            refused += 1;
            continue;
        };
        match client.get::<Status>("/v1/status").await {
            Ok(_) => held.push(client),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((held.len(), refused), (CONNECTIONS_PER_ADDRESS_MAX, 8));
    held[0].get::<Status>("/v1/status").await.unwrap();
    held.pop();
    let since = Instant::now();
    loop {
        let client = bench.client(Shown::Role(Role::Reader), Protocol::Http1).await;
        if let Ok(mut client) = client
            && client.get::<Status>("/v1/status").await.is_ok()
        {
            break;
        }
        assert!(since.elapsed() < SOON, "a place that is left is not given to another");
    }
}

#[tokio::test]
async fn half_a_handshake_is_cut_in_time() {
    let bench = Bench::start().await;
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(&[0x16, 3, 1]).await.unwrap();
    let mut rest = Vec::new();
    let outcome = timeout(Duration::from_secs(8), stream.read_to_end(&mut rest)).await;
    assert!(outcome.is_ok(), "it is still open");
}

#[test]
fn questions_are_counted_by_kind() {
    // The doubles themselves: an order is a question, too.
    let pid1 = bench::Double::default();
    use crate::apid::pid1::Pid1;
    pid1.ask(&Request::Do(Order::Start("kubelet".to_owned()))).unwrap();
    assert_eq!((pid1.questions(), pid1.orders().len()), (1, 1));
}
